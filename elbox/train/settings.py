"""The settings of a training run: plain JSON values that say how long, how fast and on what to train."""

from __future__ import annotations

__all__ = ["Training"]

import math
import re
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from elbox.errors import SettingError
from elbox.train.optimizers import OPTIMIZERS
from elbox.train.schedules import SCHEDULES

PRECISIONS = ("auto", "32", "tf32", "bf16", "16", "64")
STRATEGIES = ("auto", "ddp", "fsdp")


@dataclass(frozen=True)
class Training:
    """How a model is trained. Everything is a plain JSON value, so that a run's record can hold it.

    Arguments:
        epochs: Passes over the training data; `None` takes enough for 5000 steps, at most 400: one where it has
            as many.
        batch_size: Examples in a step, ≥ 1. A last, smaller batch of an epoch is left out (see `elbox.train.batches`).
        lr: Learning rate > 0 before the schedule.
        optimizer: `"adam"`, `"adamw"`, `"adamax"`, `"adagrad"` or `"sgd"` (with momentum 0.9).
        eps: The optimiser's ε > 0; `None` takes torch's default. Burda et al. (2015) use 1e-4 with Adam.
        schedule: Learning rate over the run: `"constant"`, `"cosine"`, `"warmup"` or `"burda"`
            (see `elbox.train.schedules`).
        clip: Largest gradient norm > 0; longer gradients are scaled down to it. `None` leaves gradients alone.
        ema: Decay in (0, 1) of an exponential moving average of the weights, which is then what is evaluated and kept.
        patience: Stop after this many held-out evaluations without improvement; `None` never stops early.
        evaluations: Held-out evaluations over the run, ≥ 1; never more than one an epoch.
        precision: `"auto"`, `"32"`, `"tf32"` or `"bf16"` products in float32 networks, `"16"` (CUDA only) or `"64"`
            (see `elbox.train.devices`).
        compile: Whether to compile the step; `None` decides from the length of the run.
        device: `"auto"`, `"cpu"`, `"cuda"`, `"cuda:N"` or `"mps"`.
        seed: Seed ≥ 0 of everything random.
        checkpoint_seconds: Shortest time in seconds between two checkpoints of a run that goes well.
        devices: Processes on each machine, ≥ 1, with a device each; `batch_size` is that of all together. Where a
            launcher such as torchrun has started several, 1 takes them all (see `elbox.train.processes`).
        nodes: Machines, ≥ 1.
        strategy: How several processes share the work. `"auto"` and `"ddp"`: each has the whole model and a share of
            every batch; `"fsdp"`: gradients, optimiser state and large weights are shared out too, and the step is not
            compiled (see `elbox.train.sharded`).

    Raises:
        SettingError: if a value has the wrong type or is out of range.

    Example:
        >>> Training(epochs=3, batch_size=100).steps(1050)
        30
        >>> Training.from_json(Training(lr=0.01).to_json()).lr
        0.01
    """

    epochs: int | None = None
    batch_size: int = 128
    lr: float = 3e-3
    optimizer: str = "adam"
    eps: float | None = None
    schedule: str = "cosine"
    clip: float | None = None
    ema: float | None = None
    patience: int | None = None
    evaluations: int = 20
    precision: str = "auto"
    compile: bool | None = None
    device: str = "auto"
    seed: int = 0
    checkpoint_seconds: float = 30.0
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        for name in ("batch_size", "evaluations", "epochs", "patience", "devices", "nodes"):
            _check_number(name, getattr(self, name), whole=True, low=1)
        _check_number("seed", self.seed, whole=True, low=0)
        for name in ("lr", "eps", "clip", "ema"):
            _check_number(name, getattr(self, name), whole=False, low=0, open_=True)
        _check_number("checkpoint_seconds", self.checkpoint_seconds, whole=False, low=0)
        if self.ema is not None and self.ema >= 1:
            raise SettingError(f"got ema={self.ema}; expected a decay between 0 and 1, such as 0.999")
        _check_choice("optimizer", self.optimizer, tuple(OPTIMIZERS))
        _check_choice("schedule", self.schedule, tuple(SCHEDULES))
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("strategy", self.strategy, STRATEGIES)
        if self.eps is not None and self.optimizer == "sgd":
            raise SettingError(f"got eps={self.eps} with optimizer=sgd, which has no ε; leave eps out or use adam")
        if self.strategy == "fsdp" and self.precision == "16":
            raise SettingError("got precision='16' with strategy='fsdp'; expected another; use 'bf16' or 'auto'")
        if self.compile not in (None, True, False):
            raise SettingError(f"got compile={self.compile!r}; expected true, false, or null for automatic")
        if not isinstance(self.device, str) or not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise SettingError(f"got device={self.device!r}; expected auto, cpu, cuda, cuda:N or mps")

    def steps_per_epoch(self, examples: int) -> int:
        """Steps in one pass over `examples` training examples: full batches only, but at least one step."""
        return max(1, examples // self.batch_size)

    def passes(self, examples: int) -> int:
        """Passes over `examples` training examples: `epochs`, or the automatic number."""
        if self.epochs is not None:
            return self.epochs
        return min(400, math.ceil(5000 / self.steps_per_epoch(examples)))

    def steps(self, examples: int) -> int:
        """Steps of the whole run on `examples` training examples."""
        return self.passes(examples) * self.steps_per_epoch(examples)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values, from which `from_json` rebuilds the same settings."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Training:
        """The settings that `to_json` described; an unknown name raises and lists the valid ones."""
        known = {f.name: f.default for f in fields(cls) if f.default is not MISSING}
        unknown = [name for name in values if name not in known]
        if unknown:
            listed = ", ".join(f"{name}={default!r}" for name, default in known.items())
            raise SettingError(f"got unknown training settings {', '.join(unknown)}; expected some of {listed}")
        return cls(**values)


_NULLABLE = ("epochs", "patience", "eps", "clip", "ema")


def _check_number(name: str, value: Any, *, whole: bool, low: float, open_: bool = False) -> None:
    if value is None and name in _NULLABLE:
        return
    kind = int if whole else (int, float)
    ok = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not ok or value < low or (open_ and value == low):
        wanted = f"a {'whole ' if whole else ''}number {'>' if open_ else '≥'} {low:g}"
        raise SettingError(f"got {name}={value!r}; expected {wanted}{' or null' if name in _NULLABLE else ''}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SettingError(f"got {name}={value!r}; expected one of {', '.join(choices)}")
