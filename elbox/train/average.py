r"""An exponential moving average of the weights.

\(\bar\theta_n = d_n \bar\theta_{n-1} + (1 - d_n)\,\theta_n\) after step \(n\), with
\(d_n = \min(d, (1 + n)/(10 + n))\), so that a short run, or the beginning of a long one, is not dominated by the
initial weights.
"""

from __future__ import annotations

__all__ = ["Average"]

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The moving average of a module's trainable parameters; its buffers are taken as they are.

    Arguments:
        module: The module.
        decay: \\(d\\) in (0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters: list[Tensor] = [p for _, p in named]
        self.values = [p.detach().clone() for p in self.parameters]

    def decay_at(self, steps: int) -> float:
        """\\(d_n\\) after n steps in all."""
        return min(self.decay, (1 + steps) / (10 + steps))

    @torch.no_grad()
    def update(self, weight: float | Tensor) -> None:
        """Take the weights in, with \\(1 - d_n\\) as a number, or as a 0-d tensor where the step is recorded."""
        if isinstance(weight, float):
            torch._foreach_lerp_(self.values, self.parameters, weight)
        else:
            for value, parameter in zip(self.values, self.parameters, strict=True):
                value.lerp_(parameter, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has the averaged weights inside the block, and its own again after it."""
        own = [p.detach().clone() for p in self.parameters]
        self._fill(self.values)
        try:
            yield
        finally:
            self._fill(own)

    def state(self) -> dict[str, Tensor]:
        """The averages by parameter name."""
        return dict(zip(self.names, self.values, strict=True))

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Put back what `state` returned."""
        for name, value in zip(self.names, self.values, strict=True):
            value.copy_(state[name])

    @torch.no_grad()
    def _fill(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)
