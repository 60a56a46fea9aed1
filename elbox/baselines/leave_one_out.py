"""Baselines from the other samples of the same example."""

from __future__ import annotations

__all__ = ["LeaveOneOut", "StandIn"]

from dataclasses import replace

import torch
from torch import Tensor

from elbox.baselines.base import Baseline, Signal
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class LeaveOneOut(Baseline):
    r"""b_k = F_{−k}, the same objective of the K − 1 other samples.

    For the ELBO it is the mean of the others. For IWAE, F_{−k} = log 1/(K−1) Σ_{j≠k} w_j is also the value of F with
    w_k replaced by the arithmetic mean of the others: VIMCO's first stand-in.

    Reference: Kool et al. (2019), *Buy 4 REINFORCE samples, get a baseline for free!*; Mnih & Rezende (2016),
    *Variational inference for Monte Carlo objectives*, the section on localised learning signals (the arithmetic mean).

    Example:
        >>> import elbox
        >>> elbox.Score(LeaveOneOut()).unbiased
        True
    """

    samples = 2

    @torch.no_grad()
    def forward(self, objective: Objective, terms: Terms, value: Tensor, progress: Tensor | float) -> Signal:
        others = objective.leave_one_out(terms, progress)
        return Signal(value.detach() - others)


@part
class StandIn(Baseline):
    r"""b_k = F with every log-density of sample k replaced by the mean of those of the other samples.

        log ŵ_k = 1/(K−1) Σ_{j≠k} log w_j,      b_k = log 1/K (Σ_{j≠k} w_j + ŵ_k)      for IWAE,

    the geometric mean of the other weights: VIMCO. For the ELBO it is `LeaveOneOut`.

    Reference: Mnih & Rezende (2016), *Variational inference for Monte Carlo objectives*, the section on
    localised learning signals (the geometric mean).

    Example:
        >>> import elbox
        >>> elbox.Score(StandIn()).baseline.samples
        2
    """

    samples = 2

    @torch.no_grad()
    def forward(self, objective: Objective, terms: Terms, value: Tensor, progress: Tensor | float) -> Signal:
        groups = {
            name: replace(g, log_pz=_stand_in(g.log_pz), log_qz=_stand_in(g.log_qz)) for name, g in terms.groups.items()
        }
        others = objective(Terms(_stand_in(terms.log_px), groups), progress).unflatten(0, terms.log_px.shape)
        return Signal(value.detach() - others)


def _stand_in(t: Tensor) -> Tensor:
    """[K, B] → [K, K·B]: K records one after the other, in the k-th the k-th row is the mean of the others."""
    same = torch.eye(len(t), dtype=t.dtype, device=t.device)
    means = (1 - same) @ t / (len(t) - 1)
    return torch.where(same[:, :, None] == 1, means, t[:, None]).flatten(1)
