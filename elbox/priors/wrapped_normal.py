"""The wrapped normal prior on the Poincaré ball."""

from __future__ import annotations

__all__ = ["WrappedNormal"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import WrappedNormal as _WrappedNormal
from elbox.errors import check_number, check_whole
from elbox.nn import PoincareBall
from elbox.parts import part


@part
class WrappedNormal(LazyDistribution):
    r"""p(z): z = exp_0(v), v ~ N(0, σ²I), on the Poincaré ball.

    Reference: Mathieu et al. (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*,
    §3; Nagano et al. (2019), *A wrapped normal distribution on hyperbolic space for gradient-based learning*.

    Arguments:
        latent: Dimension D ≥ 2 of z.
        ball: `elbox.nn.PoincareBall`, the same as the posterior's.
        scale: σ > 0, a distance.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Example:
        >>> from elbox.nn import PoincareBall
        >>> WrappedNormal(2, PoincareBall())().log_prob(torch.zeros(2))
        tensor(-0.4516)
    """

    origin: Tensor

    def __init__(self, latent: int, ball: PoincareBall, scale: float = 1.0) -> None:
        super().__init__()
        check_whole("latent", latent, 2)
        check_number("scale", scale, positive=True)
        self.ball, self.scale = ball, scale
        self.register_buffer("origin", torch.zeros(latent), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        return _WrappedNormal(self.origin, torch.full_like(self.origin, self.scale), self.ball.curvature)
