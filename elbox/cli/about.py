"""`elbox recipes`, `elbox data` and `elbox show`."""

from __future__ import annotations

__all__ = ["data", "recipes", "show"]

import inspect
from pathlib import Path
from typing import Annotated

import typer

from elbox import data as data_package
from elbox.cli.evaluate import RunFolder
from elbox.cli.fit import DataDir, Json
from elbox.cli.output import print_json, print_table, say
from elbox.recipes.base import RECIPES, named, settings_of, shown
from elbox.runs import load_info
from elbox.train import checkpoint


def recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to explain.")] = None, as_json: Json = False
) -> None:
    """List the recipes, or explain one with its settings and defaults.

    Example: `elbox recipes iwae`
    """
    chosen = RECIPES if name is None else {name: named(name)}
    if as_json:
        settings = {n: {k: shown(d) for k, (_, d) in settings_of(f).items()} for n, f in chosen.items()}
        return print_json(settings)
    if name is not None:
        return say(
            f"{name}\n\n{inspect.cleandoc(named(name).__doc__ or '').split('Example:')[0].strip()}\n\n{_listed(name)}"
        )
    rows = [(n, (f.__doc__ or "").strip().splitlines()[0], _listed(n)) for n, f in sorted(RECIPES.items())]
    print_table("", ["recipe", "what it is", "settings"], rows)


def _listed(name: str) -> str:
    return ", ".join(f"{k}={shown(d)}" for k, (_, d) in settings_of(RECIPES[name]).items() if k != "seed")


def data(
    name: Annotated[str | None, typer.Argument(help="A data set or file to describe.")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List the data sets, or describe one, or a file of yours.

    Example: `elbox data digits`
    """
    if name is None:
        sets = data_package.describe_catalogue()
        return print_json(sets) if as_json else print_table("", ["name", "what it is"], list(sets.items()))
    loaded = data_package.load(name, data_dir=data_dir)
    if as_json:
        return print_json({"source": loaded.source, "spec": loaded.spec.to_json(), "protocol": loaded.protocol})
    say(loaded.describe())
    say(loaded.protocol)


def show(run: RunFolder, as_json: Json = False) -> None:
    """Show what a run's folder holds: model, data, protocol, settings and the last numbers.

    Example: `elbox show runs/demo`
    """
    info = load_info(run)
    numbers = checkpoint.read_json(run / "evaluation.json") if (run / "evaluation.json").is_file() else None
    if as_json:
        return print_json(info | {"evaluation": numbers})
    rows = [(k, _short(v)) for k, v in info.items() if k not in ("notes", "format")]
    print_table(str(Path(run)), ["", ""], rows)
    if numbers:
        print_table("evaluation", ["", ""], [(k, _short(v)) for k, v in numbers.items()])


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}={_short(v)}" for k, v in value.items())
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) < 200 else text[:197] + "…"
