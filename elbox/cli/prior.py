"""`elbox fit-prior`."""

from __future__ import annotations

__all__ = ["PRIORS", "fit_prior"]

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from elbox.cli.fit import DataDir, Json, Quiet, finish, fresh
from elbox.cli.settings import split
from elbox.errors import RunError, SettingError
from elbox.evaluate.scope import like_model
from elbox.recipes.second_stages import code_prior, diffusion_prior, flow_prior, mixture_prior, vae_prior
from elbox.runs import Run, load_run
from elbox.train import Training, progress
from elbox.train.processes import World

PRIORS: dict[str, Callable[..., Any]] = {
    "mixture": mixture_prior,
    "flow": flow_prior,
    "diffusion": diffusion_prior,
    "vae": vae_prior,
    "codes": code_prior,
}


def fit_prior(
    run: Annotated[Path, typer.Argument(help="Folder of a run, which stays as it is.")],
    prior: Annotated[str, typer.Option("--prior", "-p", help=f"{', '.join(PRIORS)}.")] = "mixture",
    settings: Annotated[
        list[str] | None, typer.Option("--set", "-s", metavar="NAME=VALUE", help="A setting; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the new run; default: RUN-PRIOR.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data.")] = Training.epochs,
    batch_size: Annotated[int, typer.Option(help="Examples a step.")] = Training.batch_size,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = Training.lr,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and codes.")] = Training.seed,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = Training.device,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Give a trained model another prior, fitted to its codes, and write it as a new run.

    Example: `elbox fit-prior runs/demo --prior diffusion`
    """
    start, silent = time.perf_counter(), quiet or as_json
    if prior not in PRIORS:
        raise SettingError(f"got --prior {prior}; expected one of {', '.join(PRIORS)}")
    of_prior, of_training, of_data = split(settings or [], PRIORS[prior])
    if of_data:
        raise SettingError(
            f"got --set {', '.join(of_data)}=…, which is how data are read; leave it out: the run says so"
        )
    if out is not None and out.exists():
        raise RunError(f"got --out {out}, which exists; expected a new folder")
    training = Training(epochs, batch_size, lr, seed=seed, device=device, **of_training)
    loaded = load_run(run, data_dir=data_dir)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = PRIORS[prior](loaded.model if prior == "codes" else _latent(loaded), **of_prior)
    target = out or fresh(run.with_name(f"{run.name}-{prior}"))
    fitted = loaded.fit_prior(made, training, out=target, observer=progress(quiet=silent))
    finish(fitted, time.perf_counter() - start, World(), quiet=quiet, as_json=as_json)


def _latent(run: Run) -> int:
    first = like_model(run.model, run.data.stored("train", 1))
    with torch.no_grad():
        return run.model.encode(first).event_shape[0]
