"""Baselines that are numbers: none, and what the objective was lately."""

from __future__ import annotations

__all__ = ["MovingAverage", "Zero"]


import torch
from torch import Tensor

from elbox.baselines.base import Baseline, Signal
from elbox.errors import SettingError
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class Zero(Baseline):
    """b = 0: REINFORCE as it stands, of high variance.

    Reference: Williams (1992), *Simple statistical gradient-following algorithms*.

    Example:
        >>> import elbox
        >>> elbox.Score(Zero()).baseline.samples
        1
    """

    def forward(self, objective: Objective, terms: Terms, value: Tensor, progress: Tensor | float) -> Signal:
        return Signal(value.detach().expand_as(terms.log_px))


@part
class MovingAverage(Baseline):
    r"""b = c, the exponential moving average of the objective over earlier batches: c ← α c + (1 − α) mean(F).

    Reference: Mnih & Gregor (2014), *Neural variational inference and learning in belief networks*, §2.3.1; Williams
    (1992), *Simple statistical gradient-following algorithms* (reinforcement comparison).

    Arguments:
        decay: α, in [0, 1).

    Raises:
        SettingError: if `decay` is out of range.

    Example:
        >>> MovingAverage(decay=0.9).center
        tensor(0.)
    """

    center: Tensor

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise SettingError(f"got decay={decay}; expected a number in [0, 1)")
        self.decay = decay
        self.register_buffer("center", torch.zeros(()))

    @torch.no_grad()
    def forward(self, objective: Objective, terms: Terms, value: Tensor, progress: Tensor | float) -> Signal:
        weight = (value - self.center).expand_as(terms.log_px)
        if self.training:  # after its use: it must not depend on these samples
            self.center.lerp_(value.mean().to(self.center.dtype), 1 - self.decay)
        return Signal(weight)
