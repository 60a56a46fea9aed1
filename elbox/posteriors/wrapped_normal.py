"""The wrapped normal posterior on the Poincaré ball."""

from __future__ import annotations

__all__ = ["WrappedNormal"]

from typing import Any

from torch.distributions import Distribution

from elbox.distributions import WrappedNormal as _WrappedNormal
from elbox.parts import part
from elbox.posteriors.hyperbolic import Hyperbolic


@part
class WrappedNormal(Hyperbolic):
    r"""q(z|x): z = exp_μ(v), v ~ N(0, diag σ²(x)), on the Poincaré ball, μ(x) = exp_0(h(x)).

    The distance of μ from the origin is clipped softly at 8/√c, so that single precision can tell points apart; σ ≤ e.
    No closed-form KL: use `Path`. The likelihood's network should know the geometry: `elbox.nn.Gyroplanes`.

    Reference: Mathieu et al. (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*,
    §3; Nagano et al. (2019), *A wrapped normal distribution on hyperbolic space for gradient-based learning*.

    Arguments:
        net: Network with output shape `WrappedNormal.output_shape(latent)`: h, and s with σ = exp(clip(s)).
        latent: Dimension D ≥ 2 of z.
        ball: `elbox.nn.PoincareBall`, the same as the prior's.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP, PoincareBall
        >>> q = WrappedNormal(MLP(5, [8], (2, 3)), 3, PoincareBall(0.7))
        >>> q(torch.zeros(2, 5)).rsample().shape
        torch.Size([2, 3])
    """

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (2, D)."""
        return (2, latent)

    def forward(self, c: Any = None) -> Distribution:
        tangent, s = self.output(c, self.output_shape(self.latent)).unbind(-2)
        return _WrappedNormal(self.ball.at(tangent), self.scale(s), self.ball.curvature)
