"""`elbox doctor`."""

from __future__ import annotations

__all__ = ["doctor"]

from elbox.cli.evaluate import RunFolder
from elbox.cli.fit import DataDir, Json
from elbox.cli.output import print_json, say
from elbox.doctor import doctor as examine


def doctor(run: RunFolder, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Say what is wrong with a run and what to try, one line for each finding with the number that it rests on.

    The exit code is 0 whatever was found.

    Example: `elbox doctor runs/demo`
    """
    found = examine(run, data_dir=data_dir)
    if as_json:
        return print_json({"run": str(run), **found.to_json()})
    for line in found.lines():
        say(line)
