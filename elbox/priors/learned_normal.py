"""A normal prior whose mean and scale are learned."""

from __future__ import annotations

__all__ = ["LearnedNormal"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal, soft_clip
from elbox.errors import check_whole
from elbox.parts import part


@part
class LearnedNormal(LazyDistribution):
    r"""p(z) = N(z; m, diag s²) with m and log s as parameters, N(0, I) at the start.

    Reference: Hoffman & Johnson (2016), *ELBO surgery*, §3 (the rate is reduced by a prior that fits the aggregated
    posterior; this is the simplest such prior).

    Arguments:
        latent: Dimension D of z.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Example:
        >>> LearnedNormal(2)().log_prob(torch.zeros(2)).item()
        -1.837877...
    """

    def __init__(self, latent: int) -> None:
        super().__init__()
        check_whole("latent", latent)
        self.mean = nn.Parameter(torch.zeros(latent))
        self.log_scale = nn.Parameter(torch.zeros(latent))

    def forward(self, c: Any = None) -> Distribution:
        return diagonal_normal(self.mean, soft_clip(self.log_scale).exp())
