"""The χ upper bound, for the inference model alone."""

from __future__ import annotations

__all__ = ["CUBO"]

import math

from torch import Tensor

from elbox.errors import SettingError
from elbox.objectives.base import Objective
from elbox.objectives.renyi import Renyi
from elbox.parts import part
from elbox.terms import Terms


@part
class CUBO(Objective):
    r"""−(1/n) log (1/K) Σ_k w_kⁿ, minus the χ upper bound CUBO_n = (1/n) log E_q[wⁿ] ≥ log p(x) from K samples.

    Training minimises the bound, which makes q cover the true posterior; only the inference model may do so, because
    a generative model that lowers an upper bound loses likelihood: `Split(IWAE(50), CUBO(2, 50))`.

    What is a bound and what is not. CUBO_n bounds log p(x) from above, and (1/K) Σ_k w_kⁿ bounds p(x)ⁿ from above in
    expectation, for every K. Its logarithm does not: by Jensen's inequality its expectation is at most CUBO_n, rises
    to it with K, and is the ELBO for K = 1. Gradients are unbiased for the expectation of the value at this K, that
    is biased by O(1/K) for CUBO_n. Dieng et al. minimise exp(n · CUBO_n), whose gradient is unbiased for every K;
    over a batch that gives all weight to the examples of the highest likelihood, so here it is the logarithm.

    It is minus the Rényi bound of order α = 1 − n.

    Reference: Dieng et al. (2017), *Variational inference via χ upper bound minimization*, §2.

    Arguments:
        order: n > 1.
        samples: Number of posterior samples K for each example.

    Raises:
        SettingError: if n is not a finite number > 1 or there are no samples.

    Example:
        >>> from elbox.objectives import IWAE, Split
        >>> Split(IWAE(50), CUBO(2.0, samples=50)).samples
        50
    """

    fits_model = False

    def __init__(self, order: float = 2.0, samples: int = 50) -> None:
        if not (math.isfinite(order) and order > 1):
            raise SettingError(f"got order={order}; expected a finite number > 1: at 1 the bound is log p(x) itself")
        self.order, self.samples = order, samples
        self.minus = Renyi(1 - order, samples)

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return -self.minus(terms, progress)

    def path_scale(self, terms: Terms) -> Tensor:
        return self.minus.path_scale(terms)

    def bound(self) -> Renyi:
        return Renyi(0.0, self.samples)
