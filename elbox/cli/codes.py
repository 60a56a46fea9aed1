"""`elbox encode`, `elbox decode` and `elbox score`."""

from __future__ import annotations

__all__ = ["decode", "encode", "score"]

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from elbox.cli.evaluate import RunFolder, Samples, Seed
from elbox.cli.fit import DataDir
from elbox.cli.output import ARRAYS, check_target, say, write_array
from elbox.data import Protocol, as_examples
from elbox.data.files import read_file
from elbox.errors import DataError
from elbox.evaluate import encode as encode_rows
from elbox.evaluate import log_likelihood
from elbox.runs import Run, load_run

NewData = Annotated[str | None, typer.Argument(help="New data, a file or folder; default: the run's test split.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="File to write: .npy, .npz, .csv or .parquet.")]


def encode(run: RunFolder, new: NewData = None, out: Out = Path("codes.npy"), data_dir: DataDir = None) -> None:
    """Write the posterior means of examples, one row of D numbers each.

    Example: `elbox encode runs/demo new.npy --out codes.npy`
    """
    check_target(out, ARRAYS)
    loaded = load_run(run, data_dir=data_dir)
    codes = encode_rows(loaded.model, examples(loaded, new))
    write_array(out, codes, "z")
    say(f"wrote {len(codes)} codes of {codes.shape[1]} dimensions to {out}")


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
    samples: Samples = 1000,
    seed: Seed = 0,
    data_dir: DataDir = None,
) -> None:
    """Write the importance-weighted log-likelihood of each example, in nats: low values are unusual examples.

    Example: `elbox score runs/demo new.npy --out scores.npy`
    """
    check_target(out, ARRAYS)
    loaded = load_run(run, data_dir=data_dir)
    values = log_likelihood(loaded.model, examples(loaded, new), samples, seed=seed)
    write_array(out, values, "log_likelihood")
    say(f"mean log-likelihood {values.mean():.2f} nats over {len(values)} examples ({loaded.protocol}); wrote {out}")


def examples(run: Run, new: str | None) -> Tensor:
    """The run's test split, or new data checked against the run's data and binarised by its protocol."""
    if new is None:
        return run.data.examples("test")
    protocol = Protocol.from_json(run.info["data"]["protocol"])
    return as_examples(new, run.spec, where=new, protocol=protocol, columns=run.info["columns"]).float()
