r"""The Poisson distribution, with a log-probability that keeps its digits for large counts."""

from __future__ import annotations

__all__ = ["Poisson"]

import torch
from torch import Tensor

from elbox.distributions.saddle import deviance, positive, stirling_rest


class Poisson(torch.distributions.Poisson):
    r"""P(k) = λ^k e^{−λ}/k!, torch's own but for log P(k) = −D(k, λ) − R(k); see `elbox.distributions.saddle`.

    At k = λ = 10⁶ torch's is off by about 0.1 in float32, this by less than 10⁻⁴.

    Reference: Loader (2000), *Fast and accurate computation of binomial probabilities*, §3.

    Arguments:
        rate: λ > 0, any shape.

    Example:
        >>> Poisson(torch.tensor([2.0, 1e6])).log_prob(torch.tensor([0.0, 1e6]))  # −2, and nearly −½ log 2πλ
        tensor([-2.0000, -7.8267])
    """

    def __init__(self, rate: Tensor) -> None:
        super().__init__(rate, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        x, rate = positive(value), self.rate
        return -(deviance(x, rate - value, torch.log(rate / x)) + stirling_rest(value))
