r"""KL divergences between families beyond the normal, in closed form, where torch has none.

Most follow from the entropy of q and two of its moments, because log p is linear in them:

    KL(q ‖ N(m, s²)) = −H(q) + log s + ½ log 2π + (Var_q[z] + (E_q[z] − m)²) / 2s²,
    KL(q ‖ LogNormal(m, s)) = −H(q) + E_q[log z] + log s + ½ log 2π + (Var_q[log z] + (E_q[log z] − m)²) / 2s²,
    KL(q ‖ Gamma(a, b)) = −H(q) + log Γ(a) − a log b − (a − 1) E_q[log z] + b E_q[z].
"""

from __future__ import annotations

__all__: list[str] = []

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Exponential,
    Gamma,
    HalfNormal,
    Independent,
    LogNormal,
    Normal,
    Pareto,
    StudentT,
    register_kl,
)
from torch.distributions.utils import euler_constant

from elbox.distributions.bounded import Triangular, Uniform
from elbox.distributions.logistic import Logistic
from elbox.distributions.rayleigh import Rayleigh
from elbox.distributions.student import MultivariateStudentT
from elbox.distributions.von_mises import VonMises, circular_variance, log_i0e
from elbox.distributions.weibull import Weibull

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


# ── location and scale ───────────────────────────────────────────────────────────────────────────────────────────────


@register_kl(Logistic, Normal)
@register_kl(Triangular, Normal)
@register_kl(Uniform, Normal)
def _kl_symmetric_normal(q: Logistic | Triangular | Uniform, p: Normal) -> Tensor:
    return _against_normal(q.entropy(), q.mean, q.variance, p.loc, p.scale)


@register_kl(StudentT, Normal)
def _kl_student_normal(q: StudentT, p: Normal) -> Tensor:
    """Infinite for ν ≤ 2, where q has no variance."""
    variance = torch.where(q.df > 2, q.scale.square() * q.df / (q.df - 2).clamp(min=1e-30), math.inf)
    return _against_normal(q.entropy(), q.loc, variance, p.loc, p.scale)


@register_kl(MultivariateStudentT, Independent)
def _kl_elliptical_normal(q: MultivariateStudentT, p: Independent) -> Tensor:
    """The variances of q's dimensions count, not how they depend, because log p is a sum over them."""
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    cross = _against_normal(torch.zeros_like(q.loc), q.loc, q.variance, p.base_dist.loc, p.base_dist.scale)
    return cross.sum(-1) - q.entropy()


def _against_normal(entropy: Tensor, mean: Tensor, variance: Tensor, loc: Tensor, scale: Tensor) -> Tensor:
    return scale.log() + LOG_ROOT_2PI + (variance + (mean - loc).square()) / (2 * scale.square()) - entropy


# ── positive numbers ─────────────────────────────────────────────────────────────────────────────────────────────────

LOG_MOMENTS: dict[type[Distribution], Callable[..., tuple[Tensor, Tensor]]] = {  # E[log z] and Var[log z]
    Gamma: lambda q: (torch.digamma(q.concentration) - q.rate.log(), torch.polygamma(1, q.concentration)),
    Exponential: lambda q: (-q.rate.log() - euler_constant, torch.full_like(q.rate, math.pi**2 / 6)),
    Weibull: lambda q: (q.scale.log() - euler_constant / q.concentration, math.pi**2 / 6 / q.concentration.square()),
    Rayleigh: lambda q: (
        q.scale.log() + (math.log(2) - euler_constant) / 2,
        torch.full_like(q.scale, math.pi**2 / 24),
    ),
    HalfNormal: lambda q: (
        q.scale.log() - (math.log(2) + euler_constant) / 2,
        torch.full_like(q.scale, math.pi**2 / 8),
    ),
    Pareto: lambda q: (q.scale.log() + 1 / q.alpha, q.alpha.pow(-2)),
    LogNormal: lambda q: (q.loc, q.scale.square()),
}


def _log_moments(q: Distribution) -> tuple[Tensor, Tensor]:
    return next(moments(q) for cls, moments in LOG_MOMENTS.items() if isinstance(q, cls))


@register_kl(Gamma, LogNormal)
@register_kl(Exponential, LogNormal)
@register_kl(Weibull, LogNormal)
@register_kl(Rayleigh, LogNormal)
@register_kl(HalfNormal, LogNormal)
@register_kl(Pareto, LogNormal)
def _kl_positive_log_normal(q: Distribution, p: LogNormal) -> Tensor:
    mean, variance = _log_moments(q)
    return mean + _against_normal(q.entropy(), mean, variance, p.loc, p.scale)


@register_kl(Weibull, Gamma)
@register_kl(Rayleigh, Gamma)
@register_kl(HalfNormal, Gamma)
@register_kl(LogNormal, Gamma)
def _kl_positive_gamma(q: Distribution, p: Gamma) -> Tensor:
    a, b = p.concentration, p.rate
    return torch.lgamma(a) - a * b.log() - (a - 1) * _log_moments(q)[0] + b * q.mean - q.entropy()


@register_kl(Weibull, Exponential)
@register_kl(Rayleigh, Exponential)
@register_kl(HalfNormal, Exponential)
@register_kl(LogNormal, Exponential)
def _kl_positive_exponential(q: Distribution, p: Exponential) -> Tensor:
    return p.rate * q.mean - p.rate.log() - q.entropy()


@register_kl(Weibull, Weibull)
def _kl_weibull(q: Weibull, p: Weibull) -> Tensor:
    r"""KL = −H(q) − log k + k log λ − (k − 1) E_q[log z] + E_q[(z/λ)^k], with p's k and λ.

    Reference: Bauckhage (2013), *Computing the Kullback–Leibler divergence between two Weibull distributions*.
    """
    k, log_scale = p.concentration, p.scale.log()
    moment = torch.exp(k * (q.scale.log() - log_scale) + torch.lgamma(1 + k / q.concentration))
    return moment - k.log() + k * log_scale - (k - 1) * _log_moments(q)[0] - q.entropy()


@register_kl(Rayleigh, Rayleigh)
def _kl_rayleigh(q: Rayleigh, p: Rayleigh) -> Tensor:
    """KL = r − 1 − log r with r = σ_q²/σ_p²."""
    ratio = (q.scale / p.scale).square()
    return ratio - 1 - ratio.log()


# ── angles ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@register_kl(VonMises, VonMises)
def _kl_von_mises(q: VonMises, p: VonMises) -> Tensor:
    """KL = κ_q A(κ_q) − κ_p A(κ_q) cos(μ_q − μ_p) − log I₀(κ_q) + log I₀(κ_p), where nothing large cancels."""
    short = circular_variance(q.concentration)
    apart = 2 * torch.sin((q.loc - p.loc) / 2).square()  # 1 − cos(μ_q − μ_p)
    attraction = p.concentration * (short + (1 - short) * apart) - q.concentration * short
    return attraction + log_i0e(p.concentration) - log_i0e(q.concentration)
