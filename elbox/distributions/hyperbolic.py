r"""Normal distributions on the Poincaré ball: wrapped and Riemannian.

The ball B = {z ∈ R^n: c|z|² < 1} has curvature −c, the metric λ_z² I with λ_z = 2/(1 − c|z|²), and the volume λ_z^n dz.
With the Möbius addition ⊕, a tangent vector v at a point μ, of length |v| in the metric, leads to

    exp_μ(v) = μ ⊕ tanh(√c|v|/2) v/(√c|v|)   at the distance |v| from μ.

Both distributions are those of exp_μ(v) with a random v. *Densities here are with respect to dz*, of posteriors and
priors alike, as everywhere in elbox: log p(z) = log of the density by volume + n log λ_z. The second term is the same
for both and drops out of log p − log q; but the volume depends on the curvature and dz does not, so that gradients of
log q with respect to a learned curvature have mean zero, as `Path` and `Score` suppose.

All is computed in double precision. In single precision a coordinate itself can tell points apart up to a distance of
about 12/√c from the origin; samples beyond stay there.

Reference: Mathieu et al. (2019), *Continuous hierarchical representations with Poincaré variational auto-encoders*, §2
and §3 (both distributions; radius and direction); Nagano et al. (2019), *A wrapped normal distribution on hyperbolic
space for gradient-based learning* (on the hyperboloid); Ganea, Bécigneul & Hofmann (2018), *Hyperbolic neural
networks*, §2 (⊕ and exp).
"""

from __future__ import annotations

__all__ = ["Hyperbolic", "exp_zero", "inside", "log_zero", "moebius"]

import math
from abc import abstractmethod

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from elbox.distributions.manifolds import Ball


class Hyperbolic(Distribution):
    """exp_μ(v) for a random tangent vector v. A subclass draws v, and scores it by volume.

    Arguments:
        loc: μ [..., n], points of the ball, n ≥ 2.
        shape: Batch shape.
        curvature: c > 0, a number or a scalar tensor.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = True

    def __init__(self, loc: Tensor, shape: torch.Size, curvature: float | Tensor) -> None:
        self.loc, self.curvature = loc.expand(*shape, loc.shape[-1]), curvature
        super().__init__(shape, loc.shape[-1:], validate_args=False)

    @abstractmethod
    def tangent(self, shape: torch.Size) -> Tensor:
        """v [*shape, n], reparameterised, in double precision."""

    @abstractmethod
    def log_density(self, v: Tensor) -> Tensor:
        """The logarithm of the density by volume at exp_μ(v)."""

    @property
    def c(self) -> Tensor:
        """The curvature as a tensor in double precision."""
        return torch.as_tensor(self.curvature, device=self.loc.device).double()

    @property
    def support(self) -> constraints.Constraint:
        return Ball(self.loc.shape[-1], self.curvature)

    @property
    def mean(self) -> Tensor:
        """The Fréchet mean μ, by symmetry."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        v = self.tangent(self._extended_shape(sample_shape)[:-1])
        z = moebius(self.loc.double(), exp_zero(v, self.c), self.c)
        return inside(z, self.c, self.loc.dtype).to(self.loc.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        z = inside(value.double(), self.c, self.loc.dtype)
        v = log_zero(moebius(-self.loc.double(), z, self.c), self.c)
        log_conformal = math.log(2) - torch.log1p(-self.c * z.square().sum(-1))
        return (self.log_density(v) + z.shape[-1] * log_conformal).to(value.dtype)


def exp_zero(v: Tensor, c: Tensor) -> Tensor:
    """The point at the distance |v| from the origin, in the direction of v [..., n]."""
    x = _length(v, c)
    return v * torch.tanh(x / 2) / x


def log_zero(z: Tensor, c: Tensor) -> Tensor:
    """The vector that leads from the origin to z [..., n], of the length of their distance."""
    y = _length(z, c)
    return z * (2 * torch.atanh(y.clamp(max=1 - 1e-15)) / y)


def moebius(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
    """x ⊕ y (Ganea et al., 2018, §2)."""
    xy, xx, yy = ((a * b).sum(-1, keepdim=True) for a, b in ((x, y), (x, x), (y, y)))
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c.square() * xx * yy)


def inside(z: Tensor, c: Tensor, dtype: torch.dtype) -> Tensor:
    """Points [..., n] not so near the edge that a coordinate of this type could not tell; others are moved there."""
    return z * ((1 - 100 * torch.finfo(dtype).eps) / _length(z, c)).clamp(max=1)


def _length(v: Tensor, c: Tensor) -> Tensor:
    """√c|v| [..., 1], with a derivative at 0."""
    return (c * v.square().sum(-1, keepdim=True) + 1e-30).sqrt()
