"""The normal distribution with a covariance of a diagonal and a few directions, whose draws know their density."""

from __future__ import annotations

__all__ = ["LowRankNormal"]

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, constraints, register_kl
from torch.distributions.utils import _standard_normal
from torch.types import _size


class LowRankNormal(Distribution):
    r"""N(μ, S (I + W Wᵀ) S) with S = diag σ: z = μ + σ ⊙ (ε + W η) with ε ~ N(0, I_D), η ~ N(0, I_R).

    With C = I + WᵀW, the R × R capacitance matrix, and e = (z − μ)/σ,

        log det Σ = 2 Σ_d log σ_d + log det C,      eᵀ(I + W Wᵀ)⁻¹e = ‖e‖² − eᵀW C⁻¹Wᵀe,

    and of a draw ‖ε‖² + ‖η‖² − rᵀC⁻¹r with r = η − Wᵀε, in which nothing large cancels: the noise less its part in
    the null space of [I W]. Sums are no matrix products, which lower precisions would round.

    Reference: Woodbury (1950), *Inverting modified matrices* (the inverse and the determinant); as
    `torch.distributions.LowRankMultivariateNormal` with the factor S W, whose draws do not know their density.

    Arguments:
        loc: μ, [..., D].
        scale: σ > 0, [..., D].
        factor: W, [..., D, R], in units of σ.

    Example:
        >>> q = LowRankNormal(torch.zeros(3), torch.ones(3), torch.ones(3, 1))
        >>> q.covariance_matrix[0]
        tensor([2., 1., 1.])
    """

    arg_constraints: dict[str, Any] = {}
    has_rsample = True
    support = constraints.real_vector

    def __init__(self, loc: Tensor, scale: Tensor, factor: Tensor) -> None:
        self.loc, self.scale, self.factor = loc, scale, factor
        eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
        self.root = torch.linalg.cholesky(eye + (factor[..., :, None] * factor[..., None, :]).sum(-3))  # of C
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def expand(self, batch_shape: _size, _instance: Any = None) -> LowRankNormal:
        sizes = [(t, t.shape[-n:]) for t, n in ((self.loc, 1), (self.scale, 1), (self.factor, 2))]
        return LowRankNormal(*(t.expand(*batch_shape, *size) for t, size in sizes))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (1 + self.factor.square().sum(-1))

    @property
    def covariance_matrix(self) -> Tensor:
        """Σ, [..., D, D]."""
        wide = self.scale[..., None] * self.factor
        return torch.diag_embed(self.scale.square()) + wide @ wide.mT

    def log_det(self) -> Tensor:
        """log det Σ, [...]."""
        value: Tensor = self.scale.log().sum(-1) + self.root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 2 * value

    def rsample(self, sample_shape: _size = Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: _size = Size()) -> tuple[Tensor, Tensor]:  # noqa: B008
        """z and log q(z), exact at any W: by name what zuko's flows have."""
        shape = torch.Size(sample_shape) + self.batch_shape
        dtype, device = self.loc.dtype, self.loc.device
        own = _standard_normal(shape + self.event_shape, dtype, device)
        shared = _standard_normal(shape + self.factor.shape[-1:], dtype, device)
        z = self.loc + self.scale * (own + (self.factor * shared[..., None, :]).sum(-1))
        norms = own.square().sum(-1) + shared.square().sum(-1)
        return z, self._density(norms - self._inside(shared - self._project(own)))

    def log_prob(self, z: Tensor) -> Tensor:
        e = (z - self.loc) / self.scale
        return self._density(e.square().sum(-1) - self._inside(self._project(e)))

    def _project(self, e: Tensor) -> Tensor:
        """Wᵀe, [..., R]."""
        return (self.factor * e[..., None]).sum(-2)

    def _inside(self, r: Tensor) -> Tensor:
        """rᵀC⁻¹r, [...]."""
        value: Tensor = torch.linalg.solve_triangular(self.root, r[..., None], upper=False).square().sum((-2, -1))
        return value

    def _density(self, distance: Tensor) -> Tensor:
        return -0.5 * (distance + self.event_shape[0] * math.log(2 * math.pi) + self.log_det())


@register_kl(LowRankNormal, Independent)
def _kl_low_rank_diagonal(q: LowRankNormal, p: Independent) -> Tensor:
    r"""KL(N(μ, Σ) ‖ N(m, diag s²)) = ½ { Σ_d [ Σ_dd/s_d² + (μ_d − m_d)²/s_d² − 1 + log s_d² ] − log det Σ }."""
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    m, s = p.base_dist.loc, p.base_dist.scale
    quadratic = (q.variance + (q.loc - m).square()) / s.square()
    return 0.5 * ((quadratic - 1 + 2 * s.log()).sum(-1) - q.log_det())


@register_kl(LowRankNormal, MultivariateNormal)
def _kl_low_rank_full(q: LowRankNormal, p: MultivariateNormal) -> Tensor:
    r"""KL(N(μ, Σ) ‖ N(m, LLᵀ)) = ½ { Σ_d σ_d² Λ_dd + ‖L⁻¹SW‖² + ‖L⁻¹(μ − m)‖² − D − log det Σ } + Σ_d log L_dd,
    Λ = (LLᵀ)⁻¹.
    """
    identity = torch.eye(q.loc.shape[-1], dtype=q.loc.dtype, device=q.loc.device)
    inverse = torch.linalg.solve_triangular(p.scale_tril, identity, upper=False)
    own = (q.scale.square() * inverse.square().sum(-2)).sum(-1)
    shared = (inverse @ (q.scale[..., None] * q.factor)).square().sum((-2, -1))
    off = (inverse @ (q.loc - p.loc)[..., None]).square().sum((-2, -1))
    log_det = 2 * torch.log(torch.diagonal(p.scale_tril, dim1=-2, dim2=-1)).sum(-1)
    return 0.5 * (own + shared + off - q.loc.shape[-1] - q.log_det() + log_det)
