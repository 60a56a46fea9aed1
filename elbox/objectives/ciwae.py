"""The combination of the ELBO and the importance-weighted bound."""

from __future__ import annotations

__all__ = ["CIWAE"]

import math

import torch
from torch import Tensor

from elbox.errors import SettingError, check_whole
from elbox.objectives.base import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class CIWAE(Objective):
    r"""β · (1/K) Σ_k log w_k + (1 − β) · log (1/K) Σ_k w_k, between the ELBO (β = 1) and IWAE (β = 0).

    Path-derivative scale. With normalised weights ŵ_k its slope in log w_k is s_k = β/K + (1 − β) ŵ_k, and the score
    term, reparameterised once more, leaves β/K + (1 − β) ŵ_k² along the path: `path_scale` is the ratio of the two.

    Reference: Rainforth et al. (2018), *Tighter variational bounds are not necessarily better*, §5.

    Arguments:
        beta: Weight β of the ELBO, in [0, 1].
        samples: Number of posterior samples K for each example.

    Raises:
        SettingError: if β is not in [0, 1] or there are no samples.

    Example:
        >>> CIWAE(0.5, samples=64).arguments
        {'beta': 0.5, 'samples': 64}
    """

    def __init__(self, beta: float = 0.5, samples: int = 64) -> None:
        if not 0 <= beta <= 1:
            raise SettingError(f"got beta={beta}; expected a number in [0, 1]: 1 is the ELBO, 0 is IWAE")
        check_whole("samples", samples)
        self.beta, self.samples = beta, samples

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        log_w = terms.log_w
        importance_weighted = torch.logsumexp(log_w, 0) - math.log(log_w.shape[0])
        return self.beta * log_w.mean(0) + (1 - self.beta) * importance_weighted

    def path_scale(self, terms: Terms) -> Tensor:
        w = torch.softmax(terms.log_w, 0)
        of_elbo = self.beta / w.shape[0]
        slope = (of_elbo + (1 - self.beta) * w).clamp(min=torch.finfo(w.dtype).tiny)  # 0 / 0 where β = 0 and ŵ = 0
        return (of_elbo + (1 - self.beta) * w.square()) / slope

    def bound(self) -> CIWAE:
        return self
