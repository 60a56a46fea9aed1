"""One optimiser step, from a batch to new weights, on whatever device and in whatever precision was chosen.

There is one step, forward, backward, clipping, optimiser, average of the weights, and two ways to run it: as it stands,
or recorded (`elbox.record`), compiled and called as one function. With several processes the gradients are averaged
over them before they are clipped, so that the optimiser does the same in each; the recording then ends with them.
"""

from __future__ import annotations

__all__ = ["Update"]

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elbox.errors import RunError, SettingError
from elbox.record import record, replayed
from elbox.train.average import Average
from elbox.train.cost import untouched
from elbox.train.devices import Choice
from elbox.train.optimizers import build, factors, in_operators, prepare, update
from elbox.train.precision import products_alone
from elbox.train.processes import World
from elbox.train.settings import Training
from elbox.train.sharded import gathered, local, shard, shared_like

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FROM_CPP = 200_000  # steps: 60 µs are saved in each, and compilation takes some 5 s longer


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
        world: The processes of the run; all begin with the weights of the first.

    Raises:
        SettingError: if the step has nothing to train.
    """

    def __init__(
        self, step: nn.Module, settings: Training, choice: Choice, fabric: Fabric, world: World | None = None
    ) -> None:
        self.step, self.settings, self.choice, self.fabric = step, settings, choice, fabric
        self.world = world or World()
        self.precision = fabric.strategy.precision
        self.precision.convert_module(step)
        fabric.strategy.module_to_device(step)
        self.world.equalise([*step.parameters(), *step.buffers()])
        # What is trained is the step itself, or a copy of it that is shared out.
        self.sharded = settings.strategy == "fsdp" and self.world.size > 1
        self.trained = shard(step, fabric.device, self.world.size) if self.sharded else step
        self.parameters = [p for p in self.trained.parameters() if p.requires_grad]
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
            fused=choice.precision != "16"
            and not self.sharded,  # scaling and clipping come between backward and update
        )
        self.average = None if settings.ema is None else Average(self.trained, settings.ema)
        self.steps = 0
        self._whole = False  # whether the recorded step holds the optimiser's update too
        self._used = self.parameters
        self._packed = _Packed(self.trained)
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
        with products_alone(self.precision.forward_context()):
            loss, row = self._packed(x)
        self.optimizer.zero_grad()
        self.fabric.strategy.backward(loss, None)
        if self.world.size > 1 and not self.sharded:
            self._used = [p for p in self.parameters if p.grad is not None]
            self._set_gradients(self.world.mean([p.grad for p in self._used if p.grad is not None]))
        self._clip()
        self.fabric.strategy.optimizer_step(self.optimizer)
        if self.average is not None:
            self.average.update(1 - self.average.decay_at(self.steps))
        return row

    def _clip(self) -> None:
        if self.settings.clip is not None:
            # A NaN norm would be reported by stalling the device; it shows in the next loss anyway.
            self.fabric.clip_gradients(
                self.trained, self.optimizer, max_norm=self.settings.clip, error_if_nonfinite=False
            )

    # Recorded and compiled

    def compile(self, x: Tensor, steps: int = 0) -> None:
        """Record and compile the step for batches like `x`; no trace is left. Errors are the tracer's or compiler's.

        Arguments:
            x: A batch.
            steps: Steps of the run: in a long one, calls from C++ are worth their longer compilation.
        """
        self._whole = in_operators(self.optimizer) and self.world.size == 1
        state = [*self.step.parameters(), *self.step.buffers()]
        state += prepare(self.optimizer) if self._whole else []
        state += self.average.values if self.average is not None else []
        numbers, on_cpu = self._numbers(x), x.device.type == "cpu"
        bf16 = on_cpu and self.choice.precision == "bf16"
        with untouched(self.step, x.device, state):
            recorded = self._record(state, [x, numbers], bf16=bf16, from_cpp=on_cpu and steps >= FROM_CPP)
            self._recorded = recorded if on_cpu else replayed(recorded, [x, numbers])
        if on_cpu:
            torch.set_float32_matmul_precision("highest")  # the recording says itself which products are in bfloat16

    def _record(self, state: list[Tensor], inputs: list[Tensor], *, bf16: bool, from_cpp: bool) -> Any:
        if from_cpp:
            with suppress(Exception):  # not every operator can be called from C++; those that cannot, from Python
                return record(self._step, state, inputs, bf16=bf16, options={"cpp_wrapper": True})
        return record(self._step, state, inputs, bf16=bf16)

    def _step(self, x: Tensor, numbers: Tensor) -> list[Tensor]:
        """What is recorded; it returns the packed logs, and the gradients if the optimiser is not part of it."""
        with products_alone(self.precision.forward_context()):
            loss, row = self._packed(x)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        self._used = [p for p, g in zip(self.parameters, gradients, strict=True) if g is not None]
        self._set_gradients([g for g in gradients if g is not None])
        if self.world.size == 1:
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
            self._set_gradients(self.world.mean(gradients))
            if self.world.size > 1:
                self._clip()
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
        # Pinned, so that the copy waits for nothing; torch keeps the memory from others until the copy is done.
        numbers = torch.tensor([*of_optimizer, decay], dtype=self.parameters[0].dtype, pin_memory=x.is_cuda)
        return numbers.to(x.device, non_blocking=True)

    # State

    def gather(self) -> None:
        """Bring the weights into the step, where they are not trained in it, and one process's buffers to all."""
        self.world.equalise([*self.step.buffers()])  # they may remember each process's own share of the batches
        self._gather_weights()

    @torch.no_grad()
    def _gather_weights(self) -> None:
        if self.sharded:
            for whole, part in zip(self.step.parameters(), self.trained.parameters(), strict=True):
                whole.copy_(gathered(part))

    @contextmanager
    def to_evaluate(self) -> Iterator[None]:
        """Inside the block the step has the weights to be evaluated: the averages, if there are any."""
        with self.average.applied() if self.average else nullcontext():
            self.gather()
            yield

    def averages(self) -> dict[str, Tensor]:
        """The averages by parameter name; none without them."""
        return {} if self.average is None else {name: gathered(t) for name, t in self.average.state().items()}

    def finite(self) -> bool:
        """Whether all weights, and their averages, are finite; waits for the device."""
        values = [local(v) for v in self.parameters + (self.average.values if self.average else [])]
        return not self.world.any(not bool(torch.stack([torch.isfinite(v).all() for v in values]).all()))

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name."""
        if self._whole:
            prepare(self.optimizer, self.steps)
        self._gather_weights()
        out = {f"model/{name}": t for name, t in self.step.state_dict().items()}
        out |= {f"ema/{name}": t for name, t in self.averages().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            out |= {f"optimizer/{index}/{key}": gathered(t) for key, t in entries.items() if t is not None}
        return out

    def buffers(self) -> dict[str, Tensor]:
        """Buffers on the CPU by name: what a step remembers of the batches that this process has seen."""
        weights = dict(self.step.named_parameters(remove_duplicate=False))
        return {name: t.cpu() for name, t in self.step.state_dict().items() if name not in weights}

    def scaler(self) -> dict[str, Any]:
        """State of the gradient scaling, empty without it."""
        return dict(self.precision.state_dict())

    def load(self, groups: dict[str, dict[str, Tensor]], scaler: dict[str, Any]) -> None:
        """Put back what `tensors` (split by their first name) and `scaler` returned.

        Raises:
            RunError: if they are of another model or optimiser.
        """
        try:
            self._load_weights(groups["model"])
            if self.average is not None:
                own = self.average.state()
                self.average.load({name: shared_like(t, own[name]) for name, t in groups["ema"].items()})
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in groups["optimizer"].items():
                index, key = name.split("/")
                state.setdefault(int(index), {})[key] = shared_like(tensor, self.parameters[int(index)])
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        except (KeyError, RuntimeError, ValueError) as error:
            first = str(error).strip().splitlines()[-1].strip()
            raise RunError(
                f"got a checkpoint that does not fit the model ({first}); resume with the run's own recipe"
            ) from error
        if scaler:
            self.precision.load_state_dict(scaler)

    @torch.no_grad()
    def _load_weights(self, weights: dict[str, Tensor]) -> None:
        self.step.load_state_dict(weights)
        if self.sharded:
            for whole, part in zip(self.step.parameters(), self.trained.parameters(), strict=True):
                part.copy_(shared_like(whole, part))
