r"""The thermodynamic variational objective: log p(x) as an integral along a path from q(z|x) to p(z|x)."""

from __future__ import annotations

__all__ = ["TVO"]

import itertools
import math

import torch
from torch import Tensor

from elbox.errors import SettingError, check_whole
from elbox.objectives.base import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class TVO(Objective):
    r"""Σ_s (β_s − β_{s−1}) E_{π(β_{s−1})}[log w], a left Riemann sum of log p(x) = ∫₀¹ E_{π(β)}[log w] dβ.

    π(β) ∝ p(x, z)^β q(z|x)^{1−β} leads from q(z|x) to p(z|x). Its expectations are self-normalised importance
    estimates from K samples, Σ_k ŵ_k log w_k with ŵ = softmax(β log w). β_0 = 0, then S points from β_1 to 1,
    equally spaced in log β.

    What is a bound and what is not. The integrand rises with β, so the left sum is at most log p(x) and the right sum
    at least that. From K samples the same holds of their own integral, which is the importance-weighted bound: ELBO ≤
    left sum ≤ log (1/K) Σ_k w_k ≤ right sum, for every draw. So the left sum is a lower bound on log p(x) in
    expectation for every K, equal to the ELBO for S = 1; the right sum is an upper bound only as K → ∞.

    With `upper` it is minus the right sum, which only the inference model may be trained on: `Split(TVO(),
    TVO(upper=True))`; with S = 1 and K → ∞ the model follows wake–sleep's wake phase, the posterior that of
    reweighted wake–sleep.

    Gradients of the value at this K are unbiased with `Reparameterized`, `Path` and `Score`; `Covariance` is the
    paper's estimator of the limit K → ∞, biased by O(1/K).

    Reference: Masrani, Le & Wood (2019), *The thermodynamic variational objective*, §3 and §4.

    Arguments:
        partitions: S ≥ 1, the number of intervals.
        samples: Number of posterior samples K for each example.
        log_first: log₁₀ β_1 < 0, where the first interval ends; without effect for S = 1.
        upper: Minus the right Riemann sum, instead of the left one.

    Raises:
        SettingError: if there are no partitions or samples, or β_1 is not below 1.

    Example:
        >>> TVO(partitions=3, log_first=-2.0).betas
        (0.0, 0.01, 0.1, 1.0)
    """

    def __init__(
        self, partitions: int = 5, samples: int = 10, log_first: float = -1.09, *, upper: bool = False
    ) -> None:
        check_whole("partitions", partitions)
        check_whole("samples", samples)
        if not (math.isfinite(log_first) and log_first < 0):
            raise SettingError(f"got log_first={log_first}; expected a number < 0, log₁₀ of β_1 in (0, 1)")
        self.partitions, self.samples, self.upper = partitions, samples, upper
        self.fits_model = not upper
        steps = (10 ** (log_first * (1 - s / (partitions - 1))) for s in range(partitions - 1))
        self.betas = (0.0, *steps, 1.0)

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        log_w = terms.log_w
        value = torch.zeros_like(log_w[0])
        for beta, width in self._intervals():
            value = value + width * (torch.softmax(beta * log_w, 0) * log_w).sum(0)
        return value

    def path_scale(self, terms: Terms) -> Tensor:
        """1 − F_kk/F_k, with F_k the slope of the value F in log w_k and F_kk its second derivative."""
        log_w = terms.log_w
        slope, curvature = torch.zeros_like(log_w), torch.zeros_like(log_w)
        for beta, width in self._intervals():
            w = torch.softmax(beta * log_w, 0)
            u = 1 + beta * (log_w - (w * log_w).sum(0))
            slope = slope + width * w * u
            curvature = curvature + width * beta * w * (1 + u * (1 - 2 * w))
        return 1 - curvature / torch.where(slope == 0, torch.ones_like(slope), slope)  # both are 0 where ŵ_k is

    def covariance(self, terms: Terms) -> Tensor:
        """Σ_s (β_s − β_{s−1}) ŵ_k (log w_k − Σ_j ŵ_j log w_j), [K, B]: what `Covariance` puts before ∇ log q(z_k|x)."""
        log_w = terms.log_w
        found = torch.zeros_like(log_w)
        for beta, width in self._intervals():
            w = torch.softmax(beta * log_w, 0)
            found = found + width * w * (log_w - (w * log_w).sum(0))
        return found

    def bound(self) -> TVO:
        return TVO(**self.arguments | {"upper": False})  # type: ignore[attr-defined]

    def _intervals(self) -> list[tuple[float, float]]:
        """β at which the integrand is taken, with the interval's width; of negative sign for minus the right sum."""
        pairs = itertools.pairwise(self.betas)
        return [(b, a - b) if self.upper else (a, b - a) for a, b in pairs]
