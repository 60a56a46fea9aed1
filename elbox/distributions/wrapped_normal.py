r"""The wrapped normal distribution on the Poincaré ball."""

from __future__ import annotations

__all__ = ["WrappedNormal"]

import math

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from elbox.distributions.hyperbolic import Hyperbolic


class WrappedNormal(Hyperbolic):
    r"""z = exp_μ(v), v ~ N(0, diag σ²), on the Poincaré ball of curvature −c; v is in units of distance.

        log q(z) = Σ_i log N(v_i; 0, σ_i²) + (n − 1) log [√c|v| / sinh(√c|v|)] + n log λ_z,    v = log_μ(z),

    a density with respect to dz; without the last term, by volume. For c → 0 it is the normal distribution N(2μ, σ²) of
    2z: the metric is 4 I there.

    Reference: Mathieu et al. (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*,
    §3; Nagano et al. (2019), *A wrapped normal distribution on hyperbolic space for gradient-based learning*.

    Arguments:
        loc: μ [..., n], points of the ball, n ≥ 2.
        scale: σ > 0 [..., n], distances.
        curvature: c > 0, a number or a scalar tensor.

    Example:
        >>> q = WrappedNormal(torch.tensor([0.3, 0.0]), torch.ones(2), 1.0)
        >>> q.rsample((5,)).norm(dim=-1) < 1
        tensor([True, True, True, True, True])
        >>> q.log_prob(q.loc)  # −log 2π + 2 log λ
        tensor(-0.2630)
    """

    def __init__(self, loc: Tensor, scale: Tensor, curvature: float | Tensor = 1.0) -> None:
        shape = torch.broadcast_shapes(loc.shape, scale.shape)
        self.scale = scale.expand(shape)
        super().__init__(loc, shape[:-1], curvature)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> WrappedNormal:
        shape = torch.Size(batch_shape) + self.event_shape
        return WrappedNormal(self.loc.expand(shape), self.scale.expand(shape), self.curvature)

    def tangent(self, shape: torch.Size) -> Tensor:
        """σ ⊙ ε."""
        scale = self.scale.double()
        return scale * torch.randn(*shape, *self.event_shape, dtype=scale.dtype, device=scale.device)

    def log_density(self, v: Tensor) -> Tensor:
        """log N(v) less the logarithm of how much the volume grows along v."""
        scale = self.scale.double()
        x = (self.c * v.square().sum(-1) + 1e-30).sqrt()
        log_growth = x + torch.log(-torch.expm1(-2 * x) / (2 * x))  # of sinh x/x
        normal = -0.5 * (v / scale).square() - scale.log() - 0.5 * math.log(2 * math.pi)
        return normal.sum(-1) - (v.shape[-1] - 1) * log_growth
