"""A trial of the training step, which counts what it costs and leaves no trace."""

from __future__ import annotations

__all__ = ["Cost", "count", "untouched"]

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from elbox import cost
from elbox.cost import Cost
from elbox.train import rng


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
    """The cost of one forward pass `step(x)`.

    Arguments:
        step: The training step, on the device of `x`.
        x: One batch [B, *event].
    """
    with untouched(step, x.device):
        return cost.count(lambda: step(x))
