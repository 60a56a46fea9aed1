"""The Rényi-α bound, of which the importance-weighted bound is the case α = 0."""

from __future__ import annotations

__all__ = ["IWAE", "Renyi"]

import math

import torch
from torch import Tensor

from elbox.errors import SettingError, check_whole
from elbox.objectives.base import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class Renyi(Objective):
    r"""L_α = 1/(1 − α) · log (1/K) Σ_k w_k^{1−α}, w_k = p(x, z_k) / q(z_k|x).

    α → 1 is the ELBO, α = 0 the importance-weighted bound; for 0 ≤ α the value is at most log p(x) in expectation.

    Path-derivative scale. With normalised weights ŵ_k = softmax_k((1 − α) log w_k) the score term that remains after
    reparameterisation, −E Σ_k ŵ_k ∇_φ log q(z_k|x), reparameterised once more, leaves ŵ_k (α + (1 − α) ŵ_k) ∂ log
    w_k/∂z_k as the whole gradient along the path: the bound's own ŵ_k times `path_scale`.

    Reference: Li & Turner (2016), *Rényi divergence variational inference*, §4.1; Tucker et al. (2019), *Doubly
    reparameterized gradient estimators*, §3 and appendix.

    Arguments:
        alpha: Order α ≠ 1.
        samples: Number of posterior samples K for each example.

    Raises:
        SettingError: if `alpha` is 1 or there are no samples.

    Example:
        >>> Renyi(0.5, samples=10).arguments
        {'alpha': 0.5, 'samples': 10}
    """

    def __init__(self, alpha: float = 0.0, samples: int = 50) -> None:
        if alpha == 1:
            raise SettingError("got alpha=1, where the Rényi bound is the ELBO; use ELBO()")
        if not math.isfinite(alpha):
            raise SettingError(f"got alpha={alpha}; expected a finite number other than 1")
        check_whole("samples", samples)
        self.alpha, self.samples = alpha, samples

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        log_w, power = terms.log_w, 1 - self.alpha
        top = (log_w.amax(0) if power > 0 else log_w.amin(0)).detach()  # with it no w^{1−α} overflows
        scaled = power * (log_w - top)
        less = torch.expm1(scaled).mean(0)  # the mean less 1, whose digits 1/(1 − α) magnifies as α → 1
        return top + torch.where(less > -0.5, torch.log1p(less), scaled.exp().mean(0).log()) / power

    def path_scale(self, terms: Terms) -> Tensor:
        return self.alpha + (1 - self.alpha) * torch.softmax((1 - self.alpha) * terms.log_w, 0)

    def bound(self) -> Renyi:
        return Renyi(max(self.alpha, 0.0), self.samples)  # below 0 it is no lower bound


def IWAE(samples: int = 50) -> Renyi:  # noqa: N802 (the field's name for it)
    r"""The importance-weighted bound L_K = log (1/K) Σ_k w_k, `Renyi` with α = 0.

    L_1 is the ELBO; L_K rises to log p(x) with K.

    Reference: Burda, Grosse & Salakhutdinov (2016), *Importance weighted autoencoders*, eq. 8 and theorem 1.

    Arguments:
        samples: Number of posterior samples K for each example.

    Example:
        >>> IWAE(5).alpha
        0.0
    """
    return Renyi(0.0, samples)
