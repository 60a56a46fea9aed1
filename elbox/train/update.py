"""One optimiser step, from a batch to new weights, on whatever device and in whatever precision was chosen."""

from __future__ import annotations

__all__ = ["Update"]

import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elbox.errors import RunError, SettingError
from elbox.train.average import Average
from elbox.train.cost import untouched
from elbox.train.devices import Choice
from elbox.train.optimizers import build
from elbox.train.settings import Training

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class _Packed(nn.Module):
    """The step, with loss and logs packed in one vector: a single tensor to keep, and part of what is compiled."""

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
        self.step, self.settings, self.fabric = step, settings, fabric
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
        self._packed = _Packed(step)
        self._forward: Any = self._packed

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the logged values, known after the first step."""
        return self._packed.names

    def compile(self, x: Tensor) -> None:
        """Compile the step for batches like `x` now, by a trial run that leaves no trace. Errors are the compiler's."""
        # One cache for each compiled step: by default torch gives up silently after eight in a process.
        own_cache = "isolate_recompiles" in inspect.signature(torch.compile).parameters
        options: dict[str, Any] = {"isolate_recompiles": True} if own_cache else {}
        # One graph or none: a hook on an intermediate tensor (the path estimator's) is lost where a graph breaks.
        options["fullgraph"] = True
        if not own_cache:
            torch.compiler.reset()
        compiled = torch.compile(self._packed, dynamic=False, **options)
        with untouched(self.step, x.device):
            with self.precision.forward_context():
                loss, _ = compiled(x)
            loss.backward()
        self._forward = compiled

    def __call__(self, x: Tensor, lr: float, steps: int) -> Tensor:
        """Do one step and return its packed logs.

        Arguments:
            x: Batch [B, *event] on the device.
            lr: Learning rate of this step.
            steps: Number of this step, counted from 1.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        with self.precision.forward_context():
            loss, row = self._forward(x)
        self.optimizer.zero_grad()
        self.fabric.strategy.backward(loss, None)
        if self.settings.clip is not None:
            # A NaN norm would be reported by stalling the device; it shows in the next loss anyway.
            self.fabric.clip_gradients(self.step, self.optimizer, max_norm=self.settings.clip, error_if_nonfinite=False)
        self.fabric.strategy.optimizer_step(self.optimizer)
        if self.average is not None:
            self.average.update(steps)
        return row

    def finite(self) -> bool:
        """Whether all weights, and their averages, are finite; waits for the device."""
        values = self.parameters + (self.average.values if self.average else [])
        return bool(torch.stack([torch.isfinite(v).all() for v in values]).all())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name."""
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
