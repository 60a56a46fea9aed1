"""One optimiser step, from a batch to new weights, on whatever device and in whatever precision was chosen.

There is one step, forward, backward, clipping, optimiser, average of the weights, and two ways to run it: as it stands,
or recorded (`elbox.record`), compiled and called as one function.
"""

from __future__ import annotations

__all__ = ["Update"]

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elbox.errors import RunError, SettingError
from elbox.record import record, replayed
from elbox.train.average import Average
from elbox.train.cost import untouched
from elbox.train.devices import Choice
from elbox.train.optimizers import build, factors, in_operators, prepare, update
from elbox.train.settings import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class _Packed(nn.Module):
    """The step, with loss and logs packed in one vector: a single tensor to keep."""

    def __init__(self, step: nn.Module) -> None:
        super().__init__()
        self.step = step
        self.names: tuple[str, ...] = ()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loss, logs = self.step(x)
        self.names = ("loss", *logs)
        dtype = torch.promote_types(loss.dtype, torch.float32)
        with torch.no_grad():
            return loss, torch.stack([value.to(dtype) for value in (loss, *logs.values())])


class Update:
    """Forward, backward, clipping, optimiser, weight average: the state of a run that lives on the device.

    Arguments:
        step: The training step; moved to the device and converted to the precision, in place.
        settings: The settings.
        choice: Device, precision and compilation.
        fabric: Lightning Fabric for that choice.

    Raises:
        SettingError: if the step has nothing to train.
    """

    def __init__(self, step: nn.Module, settings: Training, choice: Choice, fabric: Fabric) -> None:
        self.step, self.settings, self.choice, self.fabric = step, settings, choice, fabric
        self.precision = fabric.strategy.precision
        self.precision.convert_module(step)
        fabric.strategy.module_to_device(step)
        self.parameters = [p for p in step.parameters() if p.requires_grad]
        if not self.parameters:
            raise SettingError(
                "got a model without trainable parameters; expected at least one that requires a gradient"
            )
        self.optimizer = build(
            settings.optimizer,
            self.parameters,
            settings.lr,
            eps=settings.eps,
            device=fabric.device.type,
            fused=choice.precision != "16",  # gradient scaling and clipping come between backward and update
        )
        self.average = None if settings.ema is None else Average(step, settings.ema)
        self.steps = 0
        self._whole = False  # whether the recorded step holds the optimiser's update too
        self._used = self.parameters
        self._packed = _Packed(step)
        self._recorded: Callable[..., list[Tensor]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the logged values, known after the first step."""
        return self._packed.names

    def __call__(self, x: Tensor, lr: float, steps: int) -> Tensor:
        """Do one step and return its packed logs.

        Arguments:
            x: Batch [B, *event] on the device.
            lr: Learning rate of this step.
            steps: Number of this step, counted from 1.
        """
        self.steps = steps
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return self._eagerly(x) if self._recorded is None else self._recorded_step(x)

    def _eagerly(self, x: Tensor) -> Tensor:
        with self.precision.forward_context():
            loss, row = self._packed(x)
        self.optimizer.zero_grad()
        self.fabric.strategy.backward(loss, None)
        self._clip()
        self.fabric.strategy.optimizer_step(self.optimizer)
        if self.average is not None:
            self.average.update(1 - self.average.decay_at(self.steps))
        return row

    def _clip(self) -> None:
        if self.settings.clip is not None:
            # A NaN norm would be reported by stalling the device; it shows in the next loss anyway.
            self.fabric.clip_gradients(self.step, self.optimizer, max_norm=self.settings.clip, error_if_nonfinite=False)

    # Recorded and compiled

    def compile(self, x: Tensor) -> None:
        """Record and compile the step for batches like `x`; no trace is left. Errors are the tracer's or compiler's."""
        self._whole = in_operators(self.optimizer)
        state = [*self.step.parameters(), *self.step.buffers()]
        state += prepare(self.optimizer) if self._whole else []
        state += self.average.values if self.average is not None else []
        numbers, on_cpu = self._numbers(x), x.device.type == "cpu"
        with untouched(self.step, x.device, state):
            recorded = record(self._step, state, [x, numbers], bf16=self.choice.precision == "bf16" and on_cpu)
            self._recorded = recorded if on_cpu else replayed(recorded, [x, numbers])
        if on_cpu:
            torch.set_float32_matmul_precision("highest")  # the recording says itself which products are in bfloat16

    def _step(self, x: Tensor, numbers: Tensor) -> list[Tensor]:
        """What is recorded; it returns the packed logs, and the gradients if the optimiser is not part of it."""
        with self.precision.forward_context():
            loss, row = self._packed(x)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        self._used = [p for p, g in zip(self.parameters, gradients, strict=True) if g is not None]
        self._set_gradients([g for g in gradients if g is not None])
        self._clip()
        if not self._whole:
            return [row, *(p.grad for p in self._used if p.grad is not None)]
        update(self.optimizer, numbers[:3])
        if self.average is not None:
            self.average.update(1 - numbers[3])
        return [row]

    def _recorded_step(self, x: Tensor) -> Tensor:
        assert self._recorded is not None
        row, *gradients = self._recorded(x, self._numbers(x))
        if not self._whole:
            self._set_gradients(gradients)
            self.optimizer.step()
            if self.average is not None:
                self.average.update(1 - self.average.decay_at(self.steps))
        return row

    def _set_gradients(self, gradients: Sequence[Tensor]) -> None:
        for parameter, gradient in zip(self._used, gradients, strict=True):
            parameter.grad = gradient

    def _numbers(self, x: Tensor) -> Tensor:
        """What the recorded step must be told anew each time: the optimiser's factors, and the average's decay."""
        decay = 0.0 if self.average is None else self.average.decay_at(self.steps)
        of_optimizer = factors(self.optimizer.param_groups[0], max(1, self.steps)) if self._whole else (0.0, 0.0, 0.0)
        return torch.tensor([*of_optimizer, decay], dtype=self.parameters[0].dtype, device=x.device)

    # State

    def finite(self) -> bool:
        """Whether all weights, and their averages, are finite; waits for the device."""
        values = self.parameters + (self.average.values if self.average else [])
        return bool(torch.stack([torch.isfinite(v).all() for v in values]).all())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name."""
        if self._whole:
            prepare(self.optimizer, self.steps)
        out = {f"model/{name}": t for name, t in self.step.state_dict().items()}
        if self.average is not None:
            out |= {f"ema/{name}": t for name, t in self.average.state().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            out |= {f"optimizer/{index}/{key}": t for key, t in entries.items() if t is not None}
        return out

    def scaler(self) -> dict[str, Any]:
        """State of the gradient scaling, empty without it."""
        return dict(self.precision.state_dict())

    def load(self, groups: dict[str, dict[str, Tensor]], scaler: dict[str, Any]) -> None:
        """Put back what `tensors` (split by their first name) and `scaler` returned.

        Raises:
            RunError: if they are of another model or optimiser.
        """
        try:
            self.step.load_state_dict(groups["model"])
            if self.average is not None:
                self.average.load(groups["ema"])
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in groups["optimizer"].items():
                index, key = name.split("/")
                state.setdefault(int(index), {})[key] = tensor
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        except (KeyError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise RunError(
                f"got a checkpoint that does not fit the model ({first}); resume with the run's own recipe"
            ) from error
        if scaler:
            self.precision.load_state_dict(scaler)
