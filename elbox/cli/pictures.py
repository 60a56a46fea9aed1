"""`elbox sample`, `elbox reconstruct` and `elbox interpolate`."""

from __future__ import annotations

__all__ = ["interpolate", "reconstruct", "sample"]

from pathlib import Path
from typing import Annotated

import torch
import typer

from elbox.cli.codes import NewData, examples
from elbox.cli.evaluate import RunFolder, Seed
from elbox.cli.fit import DataDir
from elbox.cli.output import say, write_images
from elbox.evaluate import interpolate as walk
from elbox.runs import Run, load_run
from elbox.train.processes import World

Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="A .png grid, or .npy, .npz, .csv, .parquet; default: a .png, for tables a .csv."),
]
Count = Annotated[int, typer.Option("-n", "--n", min=1, help="How many.")]


def sample(
    run: RunFolder,
    n: Count = 64,
    out: Out = None,
    mean: Annotated[bool, typer.Option("--mean", help="Means of p(x|z) instead of draws.")] = False,
    seed: Seed = 0,
) -> None:
    """Draw new examples from the model.

    Example: `elbox sample runs/demo -n 64 --out samples.png`
    """
    loaded = load_run(run)
    torch.manual_seed(seed)
    with torch.no_grad():
        images = loaded.model.sample(n, mean=mean)
    _write(loaded, out, "samples", images)


def reconstruct(run: RunFolder, new: NewData = None, n: Count = 16, out: Out = None, data_dir: DataDir = None) -> None:
    """Show examples (odd columns) beside their reconstructions (even columns).

    Example: `elbox reconstruct runs/demo --out reconstructions.png`
    """
    loaded = load_run(run, data_dir=data_dir)
    x = examples(loaded, new, World())[:n].float()
    with torch.no_grad():
        pairs = torch.stack([x, loaded.model.reconstruct(x)], 1)
    _write(loaded, out, "reconstructions", pairs.flatten(0, 1), columns=8)


def interpolate(
    run: RunFolder,
    n: Count = 8,
    steps: Annotated[int, typer.Option(min=2, help="Images from one end to the other.")] = 10,
    out: Out = None,
    data_dir: DataDir = None,
) -> None:
    """Walk between pairs of test examples in latent space, one pair a row.

    Example: `elbox interpolate runs/demo -n 8 --steps 10 --out interpolations.png`
    """
    loaded = load_run(run, data_dir=data_dir)
    x = loaded.data.examples("test", 2 * n)
    rows = [walk(loaded.model, a, b, steps) for a, b in zip(x[0::2], x[1::2], strict=False)]
    _write(loaded, out, "interpolations", torch.cat(rows), columns=steps)


def _write(run: Run, out: Path | None, name: str, images: torch.Tensor, columns: int | None = None) -> None:
    out = out or Path(f"{name}.png" if run.spec.is_image else f"{name}.csv")
    write_images(out, images, run, columns)
    say(f"wrote {out}")
