r"""Closed-form KL divergences that torch does not know."""

from __future__ import annotations

__all__: list[str] = []

import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, register_kl


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
