"""`elbox encode`, `elbox decode` and `elbox score`."""

from __future__ import annotations

__all__ = ["decode", "encode", "score"]

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from elbox.cli.evaluate import RunFolder, Samples, Seed
from elbox.cli.fit import DataDir
from elbox.cli.output import ARRAYS, Add, check_target, say, write_array, writing
from elbox.cli.shared import Device, Devices, Precision, fit_in, opened, together
from elbox.data import Protocol, Rows, open_examples
from elbox.data.files import read_file
from elbox.errors import DataError, RunError
from elbox.evaluate import encode as encode_rows
from elbox.evaluate import log_likelihood
from elbox.runs import Run, load_run
from elbox.train.processes import World

NewData = Annotated[str | None, typer.Argument(help="New data, a file or folder; default: the run's test split.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="File to write: .npy, .npz, .csv or .parquet.")]

PART = 1 << 26  # bytes of rows in float32 that are read together; seeds depend on it


def encode(
    run: RunFolder,
    new: NewData = None,
    out: Out = Path("codes.npy"),
    device: Device = "auto",
    devices: Devices = 1,
    data_dir: DataDir = None,
) -> None:
    """Write the posterior means of examples, one row of D numbers each.

    Example: `elbox encode runs/demo new.npy --out codes.npy`
    """
    given = dict(locals())
    check_target(out, ARRAYS)
    world = together(encode, given)
    if world is None:
        return
    loaded = opened(run, data_dir, device, world)
    x = _examples_for(out, loaded, new, world)
    with _writing(world, out, len(x), "z") as add:
        for _, rows in parts(x, whole=out.suffix.lower() == ".npz"):
            codes = world.over_rows(partial(encode_rows, loaded.model), rows)
            add(codes)
    say(f"wrote {len(x)} codes of {codes.shape[1]} dimensions to {out}", quiet=not world.first)


def decode(
    run: RunFolder,
    codes: Annotated[Path, typer.Argument(help="File of codes, [N, D]: .npy, .npz, .csv or .parquet.")],
    out: Out = Path("decoded.npy"),
) -> None:
    """Write the means of p(x|z) for given codes.

    Example: `elbox decode runs/demo codes.npy --out decoded.npy`
    """
    check_target(out, ARRAYS)
    loaded = load_run(run)
    z = read_file(codes).x
    latent = loaded.model.encode(torch.zeros(1, *loaded.spec.event_shape)).event_shape[0]
    if z.ndim != 2 or z.shape[1] != latent:
        raise DataError(
            f"got codes of shape {tuple(z.shape)} in {codes}; expected (N, {latent}), as elbox encode writes them"
        )
    with torch.no_grad():
        x = loaded.model.decode(torch.tensor(z, dtype=torch.get_default_dtype())).mean
    write_array(out, x, loaded.info["columns"] or "x")
    say(f"wrote {len(x)} examples to {out}")


def score(
    run: RunFolder,
    new: NewData = None,
    out: Out = Path("scores.npy"),
    samples: Samples = None,
    seed: Seed = 0,
    device: Device = "auto",
    devices: Devices = 1,
    precision: Precision = "auto",
    data_dir: DataDir = None,
) -> None:
    """Write the importance-weighted log-likelihood of each example, in nats: low values are unusual examples.

    Data that do not fit into memory are read and scored in parts, each with a seed of its own that follows from --seed.

    Example: `elbox score runs/demo new.npy --out scores.npy`
    """
    given = dict(locals())
    check_target(out, ARRAYS)
    world = together(score, given)
    if world is None:
        return
    loaded = opened(run, data_dir, device, world)
    x, total = _examples_for(out, loaded, new, world), 0.0
    with _writing(world, out, len(x), "log_likelihood") as add:
        for i, rows in parts(x, whole=isinstance(x, Tensor)):
            noise = world.seed(seed_of(seed, i))
            likelihood = partial(
                log_likelihood, loaded.model, samples=samples or loaded.samples, seed=noise, precision=precision
            )
            values = world.over_rows(likelihood, rows)
            total += float(values.sum())
            add(values)
    text = f"mean log-likelihood {total / len(x):.2f} nats over {len(x)} examples ({loaded.protocol}); wrote {out}"
    say(text, quiet=not world.first)


def examples(run: Run, new: str | None, world: World) -> Any:
    """The run's test split, or new data checked against the run's data and binarised by its protocol: rows [N, *event],
    bytes or float32, a tensor if they fit into memory, else `elbox.data.Rows`, of which slices are tensors.
    """
    if new is None:
        return run.data.stored("test")
    protocol = Protocol.from_json(run.info["data"]["protocol"])
    columns = run.info["columns"]
    return open_examples(new, run.spec, protocol=protocol, columns=columns, fits=fit_in(world))


def parts(x: Tensor | Rows, *, whole: bool) -> Iterator[tuple[int, Tensor]]:
    """Numbered parts of the rows, of 64 MiB each once they are floats; or all of them as one."""
    most = len(x) if whole else max(1, PART // (4 * math.prod(x.shape[1:])))
    for i, start in enumerate(range(0, len(x), most)):
        yield i, x[start : start + most]


def seed_of(seed: int, part: int) -> int:
    """A seed for each part, the first of which has the seed itself."""
    return seed if part == 0 else int(np.random.SeedSequence((seed, part)).generate_state(1)[0])


def _examples_for(out: Path, run: Run, new: str | None, world: World) -> Any:
    """Examples; refuses an output that cannot be written in parts if they come in parts."""
    x = examples(run, new, world)
    if not isinstance(x, Tensor) and out.suffix.lower() == ".npz":
        raise RunError(
            f"got --out {out} for {len(x)} rows that do not fit into memory; expected .npy, .csv or .parquet, which "
            "are written in parts; name one of these"
        )
    return x


def _writing(world: World, out: Path, n: int, columns: str) -> AbstractContextManager[Add]:
    """`writing` in the first process; the others hold the same rows, and throw them away."""
    return writing(out, n, columns) if world.first else nullcontext(lambda rows: None)
