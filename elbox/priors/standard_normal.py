"""The standard normal prior."""

from __future__ import annotations

__all__ = ["StandardNormal"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal
from elbox.errors import check_whole
from elbox.parts import part


@part
class StandardNormal(LazyDistribution):
    r"""p(z) = N(z; 0, I).

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §3.

    Arguments:
        latent: Dimension D of z.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Example:
        >>> StandardNormal(2)().log_prob(torch.zeros(2))
        tensor(-1.8379)
    """

    zero: Tensor
    one: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        check_whole("latent", latent)
        self.register_buffer("zero", torch.zeros(latent), persistent=False)
        self.register_buffer("one", torch.ones(latent), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        return diagonal_normal(self.zero, self.one)
