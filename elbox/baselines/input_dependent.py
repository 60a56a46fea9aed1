"""The baseline of NVIL: a network of the input, on top of a moving average."""

from __future__ import annotations

__all__ = ["InputDependent"]


import torch
from torch import Tensor, nn

from elbox.baselines.base import Baseline, Signal
from elbox.errors import SettingError
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class InputDependent(Baseline):
    r"""b = C(x) + c, a network C and a moving average c of what it leaves, r = F − C(x).

        c ← α c + (1 − α) mean(r),      v ← α v + (1 − α) var(r),

    and C learns from (r − c)² / 2. Both averages are of earlier batches, so that the estimate stays unbiased. With
    `normalize`, the signal is divided by max(1, √v): then the gradient of the posterior is that much shorter.

    Reference: Mnih & Gregor (2014), *Neural variational inference and learning in belief networks*, §2.3.1 and 2.3.2
    (where the averages include the present batch).

    Arguments:
        net: Network C of the posterior's input, [B, *event] → [B, 1].
        decay: α, in [0, 1).
        normalize: Divide by the standard deviation where it exceeds 1 nat.

    Raises:
        SettingError: if `decay` is out of range.

    Example:
        >>> from elbox.nn import MLP
        >>> InputDependent(MLP(784, [100], 1, torch.nn.Tanh), normalize=True).unbiased
        False
    """

    center: Tensor
    spread: Tensor

    def __init__(self, net: nn.Module, decay: float = 0.8, *, normalize: bool = False) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise SettingError(f"got decay={decay}; expected a number in [0, 1)")
        self.net, self.decay, self.normalize = net, decay, normalize
        self.register_buffer("center", torch.zeros(()))
        self.register_buffer("spread", torch.zeros(()))
        if normalize:
            self.unbiased = False
            self.bias = "the posterior's gradient is divided by a running standard deviation ≥ 1, the same for all"

    def forward(self, objective: Objective, terms: Terms, value: Tensor, progress: Tensor | float) -> Signal:
        left = value.detach() - self.net(terms.x if terms.c is None else (terms.x, terms.c)).squeeze(-1)
        error = left - self.center
        scale = self.spread.sqrt().clamp(min=1) if self.normalize else torch.ones_like(self.spread)
        weight, loss = (error.detach() / scale).expand_as(terms.log_px), 0.5 * error.square().mean() / scale
        if self.training:
            self._remember(left.detach())
        return Signal(weight, loss)

    @torch.no_grad()
    def _remember(self, left: Tensor) -> None:
        left = left.to(self.center.dtype)
        self.center.lerp_(left.mean(), 1 - self.decay)
        self.spread.lerp_(left.var(unbiased=False), 1 - self.decay)
