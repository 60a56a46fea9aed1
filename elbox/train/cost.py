"""What one training step costs, counted and not timed, so that every choice made from it is the same on every run.

The step is run forward once while three things are counted: floating-point operations of the matrix products and
convolutions, operator calls (each costs a few microseconds in eager mode, whatever its size), and numbers written by
all other operators (each a trip through memory that a compiled step saves by fusion).
"""

from __future__ import annotations

__all__ = ["Cost", "count", "untouched"]

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from elbox.train import rng


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass over one batch.

    Arguments:
        flops: Floating-point operations of matrix products and convolutions.
        calls: Operator calls.
        numbers: Elements written by operators that are neither products nor views.
    """

    flops: int
    calls: int
    numbers: int


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry

        super().__init__()
        self.formulas = flop_registry
        self.flops = self.calls = self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls += 1
        formula = self.formulas.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=out))
        elif isinstance(out, Tensor) and not getattr(func, "is_view", False):
            self.numbers += out.numel()
        return out


@contextmanager
def untouched(module: nn.Module, device: torch.device, state: Sequence[Tensor] = ()) -> Iterator[None]:
    """Run a trial step that leaves no trace: buffers, `state`, gradients and random numbers are put back afterwards."""
    before = [(t, t.detach().clone()) for t in (*module.buffers(), *state)]
    with rng.scope(0, device):
        try:
            yield
        finally:
            module.zero_grad(set_to_none=True)
            with torch.no_grad():
                for tensor, value in before:
                    tensor.copy_(value)


def count(step: nn.Module, x: Tensor) -> Cost:
    """Count the cost of `step(x)`.

    Arguments:
        step: The training step, on the device of `x`.
        x: One batch [B, *event].
    """
    with untouched(step, x.device), _Counter() as counter:
        step(x)
    return Cost(counter.flops, counter.calls, counter.numbers)
