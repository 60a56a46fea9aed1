r"""Mixtures of diagonal normals: quick densities of many components, and reparameterised draws."""

from __future__ import annotations

__all__ = ["NormalMixture"]

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily
from torch.types import _size

from elbox.distributions.normal import diagonal_normal


class NormalMixture(MixtureSameFamily):
    r"""p(z) = Σ_m π_m N(z; μ_m, diag σ_m²), with π = softmax(l).

    The densities of all components are two matrix products, Σ_d (z_d − μ_md)² / σ_md² = z² · σ⁻² − 2 z · μσ⁻² + …, in
    double precision, so that digits are not lost in the difference: no tensor has both components and dimensions.

    Draws are reparameterised implicitly. S_d(z; φ) = Σ_m γ_m(z_<d) Φ((z_d − μ_md) / σ_md), the distribution function of
    z_d given z_<d with γ_m(z_<d) ∝ π_m Π_{j<d} N(z_j; μ_mj, σ_mj²), is uniform whatever φ is, so that

        ∂z/∂φ = −(∂S/∂z)⁻¹ ∂S/∂φ,

    with ∂S/∂z lower triangular. Gradients of all parameters are unbiased, of the weights π too; they are noisy where
    the way from one component to another leads through regions without mass.

    Reference: Graves (2016), *Stochastic backpropagation through mixture density distributions*; Figurnov, Mohamed &
    Mnih (2018), *Implicit reparameterization gradients*, §3.

    Arguments:
        logits: l, [..., M].
        loc: μ, [..., M, D].
        scale: σ > 0, broadcastable with `loc`.

    Shapes:
        batch shape [...] over [D].

    Example:
        >>> p = NormalMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.ones(1))
        >>> p.log_prob(torch.zeros(3, 1)), p.responsibilities(torch.tensor([0.0]))
        (tensor([-1.4189, -1.4189, -1.4189]), tensor([0.5000, 0.5000]))
    """

    has_rsample = True

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor) -> None:
        self.logits, self.loc, self.scale = torch.log_softmax(logits, -1), loc, scale.expand_as(loc)
        weights = Categorical(logits=self.logits, validate_args=False)
        super().__init__(weights, diagonal_normal(self.loc, self.scale), validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> NormalMixture:
        shape = torch.Size(batch_shape)
        to = (*shape, *self.loc.shape[-2:])
        return NormalMixture(self.logits.expand(to[:-1]), self.loc.expand(to), self.scale.expand(to))

    @property
    def covariance_matrix(self) -> Tensor:
        """Σ_m π_m (diag σ_m² + μ_m μ_mᵀ) − μ μᵀ, [..., D, D]."""
        weight, apart = self.logits.exp()[..., None], self.loc - self.mean[..., None, :]
        within = torch.diag_embed((weight * self.scale.square()).sum(-2))
        return within + (weight * apart).mT @ apart

    def log_joint(self, z: Tensor) -> Tensor:
        """log π_m + log N(z; μ_m, diag σ_m²), [..., M] for z [..., D]."""
        if self.batch_shape or z.device.type == "mps":  # one mixture for each example; mps has no double precision
            square = ((z[..., None, :] - self.loc) / self.scale).square().sum(-1)
        else:
            square = _squares(z.double(), self.loc.double(), self.scale.double()).to(z.dtype)
        volume = torch.log(self.scale).sum(-1) + 0.5 * self.loc.shape[-1] * math.log(2 * math.pi)
        return self.logits - volume - 0.5 * square

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.logsumexp(self.log_joint(value), -1)

    def responsibilities(self, z: Tensor) -> Tensor:
        """p(m|z), [..., M] for z [..., D]: the probability that component m made z."""
        return torch.softmax(self.log_joint(z), -1)

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        m = self.mixture_distribution.sample(sample_shape)
        if self.batch_shape:
            at = m[..., None, None].expand(*m.shape, 1, self.loc.shape[-1])
            loc, scale = (t.expand(*sample_shape, *t.shape).gather(-2, at).squeeze(-2) for t in (self.loc, self.scale))
        else:
            loc, scale = self.loc[m], self.scale[m]
        return loc + scale * torch.randn_like(loc)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        z = self.sample(sample_shape)
        trained = any(t.requires_grad for t in (self.logits, self.loc, self.scale))
        return self._attached(z) if trained and torch.is_grad_enabled() else z

    def _attached(self, z: Tensor) -> Tensor:
        """The same draws with ∂z/∂φ."""
        u = (z[..., None, :] - self.loc) / self.scale  # [..., M, D]
        log_n = -0.5 * u.square() - torch.log(self.scale)
        log_gamma = torch.log_softmax(self.logits[..., None] + torch.cumsum(log_n, -1) - log_n, -2)
        gamma = torch.exp(log_gamma)
        # Of Φ and Φ − 1 the smaller one in size, whose derivatives are the same: in the tails 1 − Φ would be rounded.
        with torch.no_grad():
            side = torch.where((gamma * torch.special.ndtr(u)).sum(-2, keepdim=True) > 0.5, -1.0, 1.0).to(u.dtype)
        cdf = side * torch.special.ndtr(side * u)
        value = (gamma * cdf).sum(-2)  # S, [..., D]
        with torch.no_grad():
            density = (gamma * torch.exp(log_n)).sum(-2) / math.sqrt(2 * math.pi)
            off = (gamma * (cdf - value[..., None, :])).mT @ (-u / self.scale)
            slope = torch.tril(off, -1) + torch.diag_embed(density)  # ∂S_d/∂z_j, [..., D, D]
        moved = torch.linalg.solve_triangular(slope, (value - value.detach())[..., None], upper=False)
        return z - moved.squeeze(-1)


def _squares(z: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    """Σ_d (z_d − μ_md)² / σ_md², [..., M]."""
    precision = scale.reciprocal().square()
    return z.square() @ precision.mT - 2 * (z @ (loc * precision).mT) + (loc.square() * precision).sum(-1)
