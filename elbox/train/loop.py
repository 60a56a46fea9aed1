"""Training, from the outside: `train(step, x, settings)` begins a run or goes on with one, and says how it went.

The engine knows nothing of models. It is given a step, a module with `step(x) -> (loss, logs)`, whose buffer
`step.progress` it sets to the fraction of the run that is done, and a function that returns the held-out bound. What
the optimiser minimises is called the loss and never a bound; the best weights are those with the best held-out bound.

Where several processes train together (`elbox.train.processes`), each calls `train` with the same arguments.
"""

from __future__ import annotations

__all__ = ["check", "train"]

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elbox.errors import RunError, SettingError
from elbox.train import rng
from elbox.train.checkpoint import Checkpoint, Checkpoints, Metrics
from elbox.train.cost import count
from elbox.train.devices import Choice, choose, device_name
from elbox.train.precision import no_denormals, products, threads
from elbox.train.processes import Lost, World, join
from elbox.train.progress import Observer, Silent
from elbox.train.session import FORMAT, HeldOut, Session, TrainResult
from elbox.train.settings import Training
from elbox.train.signals import Interrupts
from elbox.train.stream import Examples, check_part


def train(
    step: nn.Module,
    x: Tensor | Examples,
    settings: Training | None = None,
    *,
    held_out: HeldOut | None = None,
    folder: Path | None = None,
    observer: Observer | None = None,
    resume: bool = False,
    stop_after: int | None = None,
) -> TrainResult:
    """Train `step` on the examples `x`, and leave the best weights in it.

    Arguments:
        step: Module with `step(x) -> (loss, logs)`, a 0-d loss to be minimised and a dictionary of 0-d tensors under
            names that stay; its 0-d buffer `progress` is set before each step, from 0 at the first to 1 at the last.
        x: Training examples [N, *event], as the step wants them (bytes stay bytes); a tensor, or rows on disk.
        settings: How to train.
        held_out: Returns numbers about held-out data, among them `"bound"`, by which weights are chosen (higher is
            better). It is called with the step in evaluation mode, with averaged weights if there are any, in full
            precision and with fixed random numbers, and disturbs none of the training's.
        folder: Where `metrics.jsonl` and `checkpoints/` are written; `None` writes nothing.
        observer: Shows progress.
        resume: Go on from the newest checkpoint in `folder`, or begin if there is none yet.
        stop_after: Stop as a signal would, once this many steps of the run are done.

    Raises:
        SettingError: if the settings cannot be met here.
        NonFiniteError: at the first loss that is not finite.
        RunError: if a file cannot be written, or a checkpoint is damaged or of another run.
    """
    settings, observer = settings or Training(), observer or Silent()
    if settings.patience is not None and held_out is None:
        raise SettingError("got patience without a held-out evaluation; expected data to evaluate on, or no patience")
    world = join(settings)
    _check_alike(x, world)
    if not len(x):
        raise SettingError("got no training examples; expected at least one")
    observer = observer if world.first else Silent()
    store = Checkpoints(folder / "checkpoints") if folder else None
    saved = world.on_first(lambda: _begin(store, observer.on_message, resume=resume))
    wanted = settings.device
    if saved is not None:
        _check_same_run(saved, settings, len(x))
        wanted = _same_device(saved, wanted, world)
    device, why = device_name(wanted, world)
    step.train()  # what is counted and recorded is the step that trains, also of a model that was evaluated before
    with ExitStack() as stack:
        stack.callback(observer.on_end)
        stack.enter_context(rng.scope(world.seed(settings.seed), torch.device(device)))
        stack.enter_context(no_denormals())  # before the first operation that starts threads
        choice = world.on_first(lambda: _choice(step, x, settings, device, why, saved, world.size))
        if (choice.device, choice.processes) != (device, world.size):
            choice = replace(choice, device=device, processes=world.size, reasons=(why, *choice.reasons[1:]))
        stack.enter_context(products(choice.precision))
        stack.enter_context(threads(choice.threads))
        metrics = Metrics(folder / "metrics.jsonl" if folder and world.first else None)
        session = Session(
            step, x, settings, choice,
            held_out=held_out, store=store, metrics=metrics, observer=observer, world=world,
        )  # fmt: skip
        stack.callback(session.batches.close)
        session.begin(saved)
        try:
            session.train(stack.enter_context(Interrupts(echo=1.0 if world.size > 1 else 0.0)), stop_after)
        except Lost as error:
            kept = store.paths() if store else []
            raise Lost(f"{error}; the last good checkpoint is {kept[-1] if kept else 'not there yet'}") from error
        return session.finish()


def check(settings: Training, x: Tensor | Examples) -> None:
    """Refuse settings that cannot be met here, before anything is written.

    Raises:
        SettingError: if the device is not there, or the processes cannot share a batch evenly or have different data.
    """
    world = join(settings)
    _check_alike(x, world)
    device_name(settings.device, world)
    check_part(min(settings.batch_size, len(x)), (world.rank, world.size))


def _check_alike(x: Tensor | Examples, world: World) -> None:
    """Refuse data of which each process has loaded others."""
    found = world.gather(f"{len(x)} {'in memory' if isinstance(x, Tensor) else 'streamed'}")
    if len(set(found)) > 1:
        raise SettingError(
            f"got other training examples in one process than in another ({', '.join(found)}); expected the same in "
            "all; load them with the same arguments, and with stream=True or stream=False, in every process"
        )


def _begin(store: Checkpoints | None, warn: Callable[[str], None], *, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from, if any."""
    if store is None:
        if resume:
            raise SettingError("got resume without a folder; expected the folder of the run to go on with")
        return None
    if resume:
        return store.load(warn)
    if store.paths():
        raise RunError(
            f"got a folder {store.folder.parent} that holds a run already; resume it or choose another folder"
        )
    return None


def _check_same_run(saved: Checkpoint, settings: Training, examples: int) -> None:
    if saved.state.get("format") != FORMAT:
        raise RunError(
            f"got a checkpoint of format {saved.state.get('format')}; expected {FORMAT}; use the elbox it is of"
        )
    free = ("checkpoint_seconds", "device", "devices", "nodes")
    before, now = saved.state["settings"], settings.to_json()
    changed = [f"{k}={now[k]!r} (was {before.get(k)!r})" for k in now if k not in free and now[k] != before.get(k)]
    if changed:
        raise RunError(
            f"got changed settings {', '.join(changed)}; expected those of the run; start a new run for new ones"
        )
    if saved.state["examples"] != examples:
        raise RunError(
            f"got {examples} training examples; expected the {saved.state['examples']} that the run began with"
        )


def _same_device(saved: Checkpoint, wanted: str, world: World) -> str:
    before = str(saved.state["choice"]["device"])
    before = before if world.size == 1 else before.partition(":")[0]
    if wanted != "auto":
        return wanted
    try:
        device_name(before, world)
    except SettingError:  # it has gone
        return wanted
    return before


def _choice(
    step: nn.Module, x: Any, settings: Training, device: str, why: str, saved: Checkpoint | None, processes: int
) -> Choice:
    if saved is not None:
        before = Choice.from_json(saved.state["choice"])
        if before.device == device:
            return before
    at = next((p.device for p in step.parameters()), torch.device("cpu"))
    cost = count(step, x[: max(1, settings.batch_size // processes)].to(at))
    robust = bool(getattr(step, "robust", False))
    return choose(settings, device, why, cost, settings.steps(len(x)), robust=robust)
