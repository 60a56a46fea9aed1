"""The Riemannian normal prior on the Poincaré ball."""

from __future__ import annotations

__all__ = ["RiemannianNormal"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import RiemannianNormal as _RiemannianNormal
from elbox.errors import check_number, check_whole
from elbox.nn import PoincareBall
from elbox.parts import part


@part
class RiemannianNormal(LazyDistribution):
    r"""p(z) ∝ e^{−d(0, z)²/2σ²} by volume, on the Poincaré ball.

    Reference: Mathieu et al. (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*,
    §3.

    Arguments:
        latent: Dimension D ≥ 2 of z.
        ball: `elbox.nn.PoincareBall`, the same as the posterior's.
        scale: σ > 0, a distance.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Example:
        >>> from elbox.nn import PoincareBall
        >>> RiemannianNormal(2, PoincareBall())().log_prob(torch.zeros(2))
        tensor(-0.7957)
    """

    origin: Tensor

    def __init__(self, latent: int, ball: PoincareBall, scale: float = 1.0) -> None:
        super().__init__()
        check_whole("latent", latent, 2)
        check_number("scale", scale, positive=True)
        self.ball, self.scale = ball, scale
        self.register_buffer("origin", torch.zeros(latent), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        return _RiemannianNormal(self.origin, torch.full_like(self.origin[0], self.scale), self.ball.curvature)
