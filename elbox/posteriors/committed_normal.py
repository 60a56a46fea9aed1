"""A diagonal normal posterior that keeps away from the prior: δ-VAE."""

from __future__ import annotations

__all__ = ["CommittedNormal"]

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal
from elbox.errors import SettingError, check_number, check_whole
from elbox.parts import part
from elbox.posteriors.diagonal_normal import DiagonalNormal, mean_and_scale

MOST = 8.0  # nats in a dimension: σ down to e^{-8.5}


@part
class CommittedNormal(LazyDistribution):
    r"""q(z|x) = N(z; μ(x), diag σ²(x)) with KL(q(z_d|x) ‖ N(0, 1)) ≥ δ for every x and d, whatever the weights.

    With δ nats in each dimension the constraint is μ² ≥ m(σ) = 2δ + 1 + log σ² − σ². The network's two outputs h, s are
    mapped onto what it allows by

        σ = σ_l + (σ_u − σ_l) / (1 + e^{−s}),      μ = √(m(σ) + softplus(h)),

    between the two roots of m. Where δ = 0 both are 1. Means are positive; softplus, for the paper's max(0, ·), has a
    gradient everywhere. The floor is one for the prior `StandardNormal`: a learned prior could come closer.

    Reference: Razavi et al. (2019), *Preventing posterior collapse with δ-VAEs* (its independent form: constraint and
    parameters, as in the code of Zhu et al., 2020).

    Arguments:
        net: Network with output shape `CommittedNormal.output_shape(latent)`: h, then s.
        latent: Dimension D of z.
        rate: The least rate, δ·D, nats for all dimensions together.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if the rate is not positive, or beyond 8 nats in a dimension.
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from torch.distributions import kl_divergence
        >>> from elbox.nn import MLP
        >>> from elbox.priors import StandardNormal
        >>> q = CommittedNormal(MLP(5, [8], CommittedNormal.output_shape(2)), 2, rate=3.0)
        >>> bool((kl_divergence(q(100 * torch.randn(1000, 5)), StandardNormal(2)()) > 2.999).all())
        True
    """

    def __init__(self, net: nn.Module, latent: int, rate: float = 1.0) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_number("rate", rate, positive=True)
        if rate > MOST * latent:
            raise SettingError(f"got rate={rate}; expected at most {MOST * latent}, {MOST:.0f} nats in each dimension")
        self.net, self.latent, self.rate = net, latent, rate
        self.each = rate / latent  # δ
        self.lower, self.upper = (math.exp(0.5 * _root(self.each, u)) for u in (-1 - 2 * self.each, 1 + 2 * self.each))

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (2, D)."""
        return DiagonalNormal.output_shape(latent)

    def forward(self, c: Any = None) -> Distribution:
        h, s = mean_and_scale(self.net, c, self.latent, "CommittedNormal")
        scale = self.lower + (self.upper - self.lower) * s.sigmoid()
        return diagonal_normal((self._least(scale) + F.softplus(h)).sqrt(), scale)

    def _least(self, scale: Tensor) -> Tensor:
        """m(σ), kept from 0, which it is at its roots: there the square root has no slope."""
        return (2 * self.each + 1 + 2 * scale.log() - scale.square()).clamp(min=1e-6)


def _root(delta: float, u: float) -> float:
    """The root log σ² of f(u) = 2δ + 1 + u − e^u on that side of 0: f is concave, so that from outside Newton's steps
    come nearer and nearer.
    """
    for _ in range(100):
        u -= (2 * delta + 1 + u - math.exp(u)) / (1 - math.exp(u))
    return u
