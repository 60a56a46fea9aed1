"""One session of a run: steps, logs, held-out evaluations, early stopping and checkpoints, from a beginning or a
checkpoint to the end or the next interruption.

The state of a run is the number of steps done, the weights, what the optimiser and the averages remember, and the
random number generators: batches, learning rate, evaluations and `progress` are functions of the step. That is why
stopping anywhere and going on gives the numbers of an uninterrupted run to the bit.
"""

from __future__ import annotations

__all__ = ["FORMAT", "HeldOut", "Session", "TrainResult"]

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import torch
from torch import Tensor, nn

from elbox.errors import NonFiniteError, RunError, SettingError
from elbox.train import rng
from elbox.train.batches import batches
from elbox.train.checkpoint import Checkpoint, Checkpoints, Metrics
from elbox.train.devices import Choice, connect, uncompiled
from elbox.train.logs import Logs
from elbox.train.precision import evaluating
from elbox.train.processes import Lost, World
from elbox.train.progress import Observer
from elbox.train.schedules import SCHEDULES
from elbox.train.settings import Training
from elbox.train.signals import Interrupts
from elbox.train.stream import Examples
from elbox.train.update import Update

HeldOut = Callable[[], dict[str, float]]

ASK = 16  # steps after which several processes ask each other whether to stop
FORMAT = 1  # of the state in a checkpoint; a change that old code could not read raises it


@dataclass(frozen=True)
class TrainResult:
    """What came of a run; the best weights are left in the step.

    Arguments:
        history: The rows of metrics, oldest first; `row["split"]` is `"train"` (averages over an epoch's steps) or
            `"held_out"`.
        best_bound: The best held-out bound in nats, or `None` without evaluations.
        best_step: The step at which it was reached.
        steps: Steps done, in all sessions of the run.
        total: Steps of the whole run.
        seconds: Time in seconds, in all sessions of the run.
        interrupted: Whether a signal or `stop_after` ended it early; it can be resumed.
        stopped_early: Whether `patience` ended it.
        choice: Device, precision and compilation, with the reasons.
    """

    history: list[dict[str, Any]]
    best_bound: float | None
    best_step: int | None
    steps: int
    total: int
    seconds: float
    interrupted: bool
    stopped_early: bool
    choice: Choice


@dataclass
class _Position:
    """The part of a run's state that is plain numbers."""

    step: int = 0
    seconds: float = 0.0
    best_bound: float | None = None
    best_step: int | None = None
    waited: int = 0
    stopped_early: bool = False


class Session:
    """One session of a run.

    Arguments:
        step: The training step.
        x: Training examples [N, *event], a tensor or rows on disk.
        settings: The settings.
        choice: Device, precision and compilation.
        held_out: The held-out evaluation, if any.
        store: Where checkpoints go, if anywhere.
        metrics: Where rows of metrics go.
        observer: Shows progress.
        world: The processes of the run, of which the first alone writes.
    """

    def __init__(
        self,
        step: nn.Module,
        x: Tensor | Examples,
        settings: Training,
        choice: Choice,
        *,
        held_out: HeldOut | None,
        store: Checkpoints | None,
        metrics: Metrics,
        observer: Observer,
        world: World | None = None,
    ) -> None:
        self.step, self.settings, self.choice, self.world = step, settings, choice, world or World()
        self.held_out, self.store, self.metrics, self.observer = held_out, store, metrics, observer
        fabric = connect(choice)
        self.device = fabric.device
        self.update = Update(step, settings, choice, fabric, self.world)
        part = (self.world.rank, self.world.size)
        self.batches = batches(x, settings.batch_size, settings.seed, self.device, part)
        self.examples, self.per_epoch, self.epochs = len(x), len(self.batches), settings.passes(len(x))
        self.total = self.per_epoch * self.epochs
        self.logs = Logs(self.device, self.world)
        self.now = _Position()
        self.best: dict[str, Tensor] = {}
        self.saved_at = -1

    # Beginning and end

    def begin(self, saved: Checkpoint | None) -> None:
        """Compile if that was chosen, take up the checkpoint if there is one, and say what will be done."""
        if saved is not None:
            self._restore(saved)
        if self.choice.compile:
            self._compile()
        self.metrics.rewind(self.now.step)
        info: dict[str, Any] = {
            "steps": self.total,
            "done": self.now.step,
            "epochs": self.epochs,
            "steps_per_epoch": self.per_epoch,
        }
        info |= {"batch_size": self.batches.size, "examples": self.examples, "reasons": self.choice.reasons}
        self.observer.on_start(info)
        self.began = self.epoch_began = time.monotonic()
        self.epoch_first = self.now.step
        if saved is None:  # initial weights that no seed can make again, such as those of a model trained before
            self._save()
        self.next_checkpoint = self.began + self.settings.checkpoint_seconds

    def finish(self) -> TrainResult:
        """Leave the best weights in the step and say how the run went."""
        if self.best:
            self.step.load_state_dict(self.best)
        else:
            self.update.gather()
            self.step.load_state_dict(self.update.averages(), strict=False)
        self._show_progress(1.0)
        now = self.now
        return TrainResult(
            history=self.world.on_first(lambda: self.metrics.rows),
            best_bound=now.best_bound,
            best_step=now.best_step,
            steps=now.step,
            total=self.total,
            seconds=self._seconds(),
            interrupted=now.step < self.total and not now.stopped_early,
            stopped_early=now.stopped_early,
            choice=self.choice,
        )

    def _compile(self) -> None:
        x = self.batches.at(self.now.step)  # any would do; this one is the next, which streamed data read anyway
        try:
            self.update.compile(x, self.total)
        except Exception as error:  # whatever the compiler stumbles over, the step itself has run already
            first = str(error).strip().partition("\n")[0]
            if self.settings.compile:
                raise SettingError(f"got compile=True, but compilation failed ({first}); leave compile out") from error
            self.choice = uncompiled(self.choice, f"compilation failed ({first})")
            if self.choice.precision == "32":
                torch.set_float32_matmul_precision("highest")  # as it will be where this run goes on

    # The loop

    def train(self, interrupts: Interrupts, stop_after: int | None) -> None:
        """Run until the end, an interruption, `stop_after` steps of the run, or no further improvement."""
        last = self.total if stop_after is None else min(stop_after, self.total)
        while self.now.step < last and not self.now.stopped_early and not self._stopped(interrupts):
            self._advance()
            at_end = self.now.step % self.per_epoch == 0
            if at_end or self.logs.full:
                self._transfer()
                if at_end:
                    self._end_epoch()
                if self.world.any(self.world.first and time.monotonic() >= self.next_checkpoint):
                    self._save()
            self.observer.on_step(self.now.step, self.total)
        if self.saved_at != self.now.step:
            self._transfer()
            self._save()

    def _stopped(self, interrupts: Interrupts) -> bool:
        """Whether a signal came, to any process; several ask each other only now and then, all at the same step."""
        if self.world.size > 1 and self.now.step % ASK:
            return False
        return self.world.any(interrupts.requested is not None)

    def _advance(self) -> None:
        done = self.now.step
        self._show_progress(done / max(1, self.total - 1))
        x = self.batches.at(done)
        row = self.update(x, self._lr(done), done + 1)
        self.logs.push(self.update.names, row)
        self.now.step = done + 1

    def _lr(self, done: int) -> float:
        return self.settings.lr * SCHEDULES[self.settings.schedule](done / self.total, done // self.per_epoch)

    def _show_progress(self, fraction: float) -> None:
        cast(Tensor, self.step.progress).fill_(fraction)

    def _transfer(self) -> None:
        new = self.logs.waiting
        if not new:
            return
        bad = self.logs.transfer(self.now.step)
        if bad is not None:
            terms = f"not finite: {', '.join(bad.terms)}" if bad.terms else "though all logged terms were finite"
            raise NonFiniteError(f"got a loss of {bad.value} at step {bad.step} ({terms}); {self._advice()}")
        self.observer.on_logs(self.now.step, self.logs.mean(new))

    def _advice(self) -> str:
        path = self.store.last if self.store else None
        kept = f"the last good checkpoint is {path}" if path else "no checkpoint had been written"
        return f"expected finite numbers; {kept}; start again with a lower lr or with clip=1"

    def _check_finite(self) -> None:
        if not self.update.finite():
            raise NonFiniteError(
                f"got weights that are not finite at step {self.now.step}, from such a gradient; {self._advice()}"
            )

    # The end of an epoch

    def _end_epoch(self) -> None:
        epoch, time_now = self.now.step // self.per_epoch, time.monotonic()
        examples = (self.now.step - self.epoch_first) * self.batches.size
        row: dict[str, Any] = {"epoch": epoch, "step": self.now.step, "split": "train", **self.logs.mean()}
        row |= {"lr": self._lr(self.now.step - 1), "seconds": self._seconds()}
        row["examples_per_second"] = examples / max(time_now - self.epoch_began, 1e-9)
        self._record(row)
        self.observer.on_epoch(row)
        self.logs.clear()
        wanted = self.settings.evaluations
        if self.held_out is not None and epoch * wanted // self.epochs > (epoch - 1) * wanted // self.epochs:
            self._evaluate(epoch)
        self.epoch_began, self.epoch_first = time.monotonic(), self.now.step

    def _evaluate(self, epoch: int) -> None:
        self._check_finite()
        with self.update.to_evaluate():
            values = self._held_out()
            if math.isnan(values["bound"]):
                bad = ", ".join(name for name, value in values.items() if math.isnan(value))
                raise NonFiniteError(
                    f"got a held-out bound of nan at step {self.now.step} (not finite: {bad}); {self._advice()}"
                )
            best = values["bound"] > (-math.inf if self.now.best_bound is None else self.now.best_bound)
            if best:
                self.now.best_bound, self.now.best_step = values["bound"], self.now.step
                self.best = {name: t.detach().to("cpu", copy=True) for name, t in self.step.state_dict().items()}
        self.now.waited = 0 if best else self.now.waited + 1
        self.now.stopped_early = self.now.waited == self.settings.patience
        row = {
            "epoch": epoch,
            "step": self.now.step,
            "split": "held_out",
            **values,
            "best": best,
            "seconds": self._seconds(),
        }
        self._record(row)
        self.observer.on_evaluation(row)

    def _held_out(self) -> dict[str, float]:
        assert self.held_out is not None
        self.step.eval()
        try:
            with rng.scope(self.settings.seed, self.device), evaluating(self.choice.precision), torch.no_grad():
                values = {name: float(value) for name, value in self.held_out().items()}
            return dict(self.world.on_first(lambda: values))
        finally:
            self.step.train()

    def _seconds(self) -> float:
        return self.now.seconds + time.monotonic() - self.began

    # Checkpoints

    def _save(self) -> None:
        if self.store is None:
            return
        self._check_finite()
        tensors = self.update.tensors()
        tensors |= {f"best/{name}": t for name, t in self.best.items()}
        own = self.world.gather((rng.capture(self.device), self.update.buffers()))
        for rank, (generators, buffers) in enumerate(own):
            tensors |= {f"{_of('rng', rank)}/{name}": t for name, t in generators.items()}
            tensors |= {f"{_of('model', rank)}/{name}": t for name, t in buffers.items()}
        tensors["logs"] = self.logs.rows
        self._write(lambda: self._write_checkpoint(tensors))
        self.saved_at = self.now.step
        self.next_checkpoint = time.monotonic() + self.settings.checkpoint_seconds

    def _write_checkpoint(self, tensors: dict[str, Tensor]) -> None:
        assert self.store is not None
        self.metrics.sync()
        self.store.save(Checkpoint(self._state(), tensors))

    def _record(self, row: dict[str, Any]) -> None:
        self._write(lambda: self.metrics.append(row))

    def _write(self, function: Callable[[], None]) -> None:
        """Write in the first process; where it fails, all stop."""
        try:
            self.world.on_first(function)
        except Lost:
            raise
        except RunError as error:
            kept = self.store.last if self.store else None
            raise RunError(f"{error}; the last good checkpoint is {kept or 'not there yet'}") from error

    def _state(self) -> dict[str, Any]:
        epoch, position = divmod(self.now.step, self.per_epoch)
        return {
            **asdict(self.now),
            "seconds": self._seconds(),
            "epoch": epoch,
            "position": position,
            "examples": self.examples,
            "settings": self.settings.to_json(),
            "choice": self.choice.to_json(),
            "log_names": list(self.logs.names),
            "scaler": self.update.scaler(),
            "torch": torch.__version__,
            "format": FORMAT,
        }

    def _restore(self, saved: Checkpoint) -> None:
        state = saved.state
        if state["torch"] != torch.__version__:
            self.observer.on_message(
                f"going on with torch {torch.__version__} a run of torch {state['torch']}: rounding may differ"
            )
        if state["choice"]["device"] != self.choice.device:
            self.observer.on_message(
                f"going on on {self.choice.device} a run of {state['choice']['device']}: rounding will differ"
            )
        groups = {name: saved.group(name) for name in ("model", "ema", "optimizer")}
        before = state["choice"].get("processes", 1)
        if before == self.world.size:
            groups["model"] |= saved.group(_of("model", self.world.rank))
        self.update.load(groups, state["scaler"])
        if before != self.world.size:
            self.observer.on_message(
                f"going on in {_processes(self.world.size)} with a run of {_processes(before)}: "
                "its noise will differ from now on"
            )
            rng.seed_all(self.world.seed(self.settings.seed, state["step"]))
        else:
            rng.restore(saved.group(_of("rng", self.world.rank)), self.device)
        self.now = _Position(**{field.name: state[field.name] for field in fields(_Position)})
        self.best = saved.group("best")
        self.logs.names, self.logs.rows = tuple(state["log_names"]), saved.tensors["logs"]
        self.saved_at = self.now.step


def _processes(number: int) -> str:
    return f"{number} process{'' if number == 1 else 'es'}"


def _of(group: str, rank: int) -> str:
    """The group of what is a process's own in a checkpoint: its generators (rng), or its buffers (model)."""
    return group if rank == 0 else f"{group}{rank}"
