"""`elbox evaluate` and `elbox report`."""

from __future__ import annotations

__all__ = ["evaluate", "report"]

from pathlib import Path
from typing import Annotated, Any

import typer

from elbox.cli.fit import DataDir, Json, Quiet, counter, print_evaluation
from elbox.cli.output import print_json, print_table, say
from elbox.cli.shared import Device, Devices, Precision, opened, together
from elbox.evaluate.gaps import check_gaps

RunFolder = Annotated[Path, typer.Argument(help="Folder of a run.")]
SplitName = Annotated[str, typer.Option(help="train, valid or test.")]
Samples = Annotated[
    int | None,
    typer.Option(min=1, help="Importance samples S of an example; default: 1000, or 10 if log p(z) is slow."),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
WithGaps = Annotated[bool, typer.Option("--gaps", help="Measure approximation and amortisation gap too, and k̂.")]
Few = Annotated[
    int, typer.Option(min=1, help="Examples for --gaps, the first ones: each costs thousands of gradients.")
]
Temperatures = Annotated[int, typer.Option(min=1, help="Annealing steps for --gaps: more bring its bounds together.")]


def evaluate(
    run: RunFolder,
    split: SplitName = "test",
    samples: Samples = None,
    seed: Seed = 0,
    device: Device = "auto",
    devices: Devices = 1,
    precision: Precision = "auto",
    gaps: WithGaps = False,
    examples: Few = 100,
    temperatures: Temperatures = 200,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a trained model: ELBO, rate, distortion and log-likelihood in nats, with standard errors.

    Example: `elbox evaluate runs/demo --samples 5000`
    """
    world = together(evaluate, dict(locals()))
    if world is None:
        return None
    loaded, silent = opened(run, data_dir, device, world), quiet or as_json or not world.first
    if gaps and world.first:
        check_gaps(loaded.model, loaded.data.stored(split, 1), samples=samples or loaded.samples)  # before any work
    result = loaded.evaluate(split, samples, seed, precision=precision, progress=counter(silent))
    if not world.first:
        return None
    options: dict[str, Any] = {"temperatures": temperatures, "seed": seed, "progress": counter(silent)}
    found = loaded.gaps(split, examples, samples, **options) if gaps else None
    if as_json:
        more = {"gaps": found.to_json()} if found else {}
        return print_json({"run": str(run), "split": split, "protocol": loaded.protocol, **result.to_json(), **more})
    print_evaluation(loaded, result, split)
    if found:
        print_table(f"gaps, {found.n} examples", ["", "mean ± s.e.", "unit"], found.rows())


def report(
    run: RunFolder,
    samples: Samples = None,
    seed: Seed = 0,
    device: Device = "auto",
    devices: Devices = 1,
    precision: Precision = "auto",
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Write the report of a run again.

    Example: `elbox report runs/demo`
    """
    world = together(report, dict(locals()))
    if world is None:
        return
    from elbox import report as report_package

    loaded, show = opened(run, data_dir, device, world), counter(quiet or not world.first)
    result = loaded.evaluate("test", samples, seed, precision=precision, progress=show)
    if world.first:
        say(f"report: {report_package.write(loaded, result)}")
