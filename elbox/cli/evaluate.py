"""`elbox evaluate` and `elbox report`."""

from __future__ import annotations

__all__ = ["evaluate", "report"]

from pathlib import Path
from typing import Annotated

import typer

from elbox.cli.fit import DataDir, Json, Quiet, counter, print_evaluation
from elbox.cli.output import print_json, say
from elbox.runs import load_run

RunFolder = Annotated[Path, typer.Argument(help="Folder of a run.")]
SplitName = Annotated[str, typer.Option(help="train, valid or test.")]
Samples = Annotated[int, typer.Option(min=1, help="Importance samples S for each example; papers use 5000.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]


def evaluate(
    run: RunFolder,
    split: SplitName = "test",
    samples: Samples = 1000,
    seed: Seed = 0,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a trained model: ELBO, rate, distortion and log-likelihood in nats, with standard errors.

    Example: `elbox evaluate runs/demo --samples 5000`
    """
    loaded = load_run(run, data_dir=data_dir)
    result = loaded.evaluate(split, samples, seed, progress=counter(quiet or as_json))
    if as_json:
        return print_json({"run": str(run), "split": split, "protocol": loaded.protocol, **result.to_json()})
    print_evaluation(loaded, result, split)


def report(
    run: RunFolder, samples: Samples = 1000, seed: Seed = 0, data_dir: DataDir = None, quiet: Quiet = False
) -> None:
    """Write the report of a run again.

    Example: `elbox report runs/demo`
    """
    from elbox import report as report_package

    loaded = load_run(run, data_dir=data_dir)
    page = report_package.write(loaded, loaded.evaluate("test", samples, seed, progress=counter(quiet)))
    say(f"report: {page}")
