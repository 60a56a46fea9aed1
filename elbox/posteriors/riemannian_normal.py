"""The Riemannian normal posterior on the Poincaré ball."""

from __future__ import annotations

__all__ = ["RiemannianNormal"]

from typing import Any

from torch.distributions import Distribution

from elbox.distributions import RiemannianNormal as _RiemannianNormal
from elbox.parts import part
from elbox.posteriors.hyperbolic import Hyperbolic


@part
class RiemannianNormal(Hyperbolic):
    r"""q(z|x) ∝ e^{−d(μ(x), z)²/2σ²(x)} by volume, on the Poincaré ball, μ(x) = exp_0(h(x)).

    One spread for all directions. Clipping, KL and networks as for `WrappedNormal`.

    Reference: Mathieu et al. (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*,
    §3.

    Arguments:
        net: Network with output shape `RiemannianNormal.output_shape(latent)`: h, and s with σ = exp(clip(s)).
        latent: Dimension D ≥ 2 of z.
        ball: `elbox.nn.PoincareBall`, the same as the prior's.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP, PoincareBall
        >>> q = RiemannianNormal(MLP(5, [8], 4), 3, PoincareBall(0.7))
        >>> q(torch.zeros(2, 5)).rsample().shape
        torch.Size([2, 3])
    """

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (D + 1,)."""
        return (latent + 1,)

    def forward(self, c: Any = None) -> Distribution:
        h = self.output(c, self.output_shape(self.latent))
        return _RiemannianNormal(self.ball.at(h[..., :-1]), self.scale(h[..., -1]), self.ball.curvature)
