r"""Closed-form KL divergences that torch does not know."""

from __future__ import annotations

__all__: list[str] = []

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, register_kl

from elbox.distributions.bits import Bit
from elbox.distributions.one_hots import OneHot


@register_kl(MultivariateNormal, Independent)
def _kl_full_diagonal(q: MultivariateNormal, p: Independent) -> Tensor:
    r"""KL(N(μ, LLᵀ) ‖ N(m, diag s²)) = ½ Σ_d [ (LLᵀ)_dd/s_d² + (μ_d − m_d)²/s_d² − 1 + log s_d² ] − Σ_d log L_dd.

    Reference: Kingma & Welling (2019), *An introduction to variational autoencoders*, §2.5.1 (full-covariance
    posterior).
    """
    if not isinstance(p.base_dist, Normal) or p.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    m, s = p.base_dist.loc, p.base_dist.scale
    variance = q.scale_tril.square().sum(-1)
    quadratic = (variance + (q.loc - m).square()) / s.square()
    log_det = torch.log(torch.diagonal(q.scale_tril, dim1=-2, dim2=-1)).sum(-1)
    return 0.5 * (quadratic - 1 + 2 * torch.log(s)).sum(-1) - log_det


@register_kl(Independent, MultivariateNormal)
def _kl_diagonal_full(q: Independent, p: MultivariateNormal) -> Tensor:
    r"""KL(N(μ, diag σ²) ‖ N(m, LLᵀ)) = ½ [ Σ_d σ_d² Λ_dd + ‖L⁻¹(μ − m)‖² − D ] + Σ_d log (L_dd / σ_d), Λ = (LLᵀ)⁻¹."""
    if not isinstance(q.base_dist, Normal) or q.reinterpreted_batch_ndims != 1:
        raise NotImplementedError
    mean, scale = q.base_dist.loc, q.base_dist.scale
    identity = torch.eye(p.scale_tril.shape[-1], dtype=mean.dtype, device=mean.device)
    inverse = torch.linalg.solve_triangular(p.scale_tril, identity, upper=False)
    precisions = inverse.square().sum(-2)
    off = (inverse @ (mean - p.loc)[..., None]).squeeze(-1)
    quadratic = (scale.square() * precisions + off.square() - 1).sum(-1)
    return 0.5 * quadratic + torch.log(torch.diagonal(p.scale_tril, dim1=-2, dim2=-1) / scale).sum(-1)


@register_kl(Bit, Bit)
def _kl_bit(q: Bit, p: Bit) -> Tensor:
    r"""KL of one bit, from logits: σ(l_q)(l_q − l_p) + log(1 + e^{l_p}) − log(1 + e^{l_q}).

    torch's formula for Bernoulli distributions does not broadcast [B, D] against a prior's [D].
    """
    return q.probs * (q.logits - p.logits) + F.softplus(p.logits) - F.softplus(q.logits)


@register_kl(OneHot, OneHot)
def _kl_one_hot(q: OneHot, p: OneHot) -> Tensor:
    r"""KL(q ‖ p) = Σ_c q_c (log q_c − log p_c) of one categorical variable."""
    return (q.mean * (q.logits - p.logits)).sum(-1)
