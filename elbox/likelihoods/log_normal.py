"""The log-normal likelihood, the default for positive numbers."""

from __future__ import annotations

__all__ = ["LogNormal"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from elbox.distributions import soft_clip
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec


@part
class LogNormal(Likelihood):
    r"""log p(x|z) = Σ_d log N(log x_d; μ_d(z), σ_d²) − log x_d, for x > 0: relative errors are what counts.

    μ = a + b soft_clip(net(z)) and σ = b e^{soft_clip(·)} with one learned number for all dimensions. a and b are the
    location and spread of log x that give the mean m and the spread s of the data: b² = log(1 + s²/m²) and
    a = log m − b²/2. An untrained network reconstructs the mean example.

    The mean exp(μ + σ²/2) overflows in float32 for σ > 13; the density does not.

    Reference: Johnson, Kotz & Balakrishnan (1994), *Continuous univariate distributions 1*, ch. 14.

    Arguments:
        net: Network z → standardised log-median, of the event's shape.
        offset: Mean m > 0 of the data (`DataSpec.offset`); at least 1e-3 of the spread.
        scale: Spread s of the data (`DataSpec.scale`).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> LogNormal(MLP(2, [], 3))(torch.zeros(4, 2)).log_prob(torch.ones(4, 3)).shape
        torch.Size([4])
    """

    kinds = ("positive",)
    values = "finite values > 0: choose another likelihood for zeros"
    density = True

    def __init__(self, net: nn.Module, offset: Number = 1.0, scale: Number = 1.0) -> None:
        super().__init__()
        self.net = net
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.set_units(offset, scale)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> LogNormal:
        cls.check(spec)
        return cls(net, spec.offset or 1.0, spec.scale)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h)
        a, b = _of_logarithm(*self.units(h.shape[h.dim() - dims :]))
        sigma = (b * soft_clip(self.log_sigma).exp()).expand_as(h)
        return Independent(
            torch.distributions.LogNormal(a + b * soft_clip(h), sigma, validate_args=False), dims, validate_args=False
        )


def _of_logarithm(mean: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of log x from those of x."""
    mean = torch.maximum(mean, 1e-3 * spread)
    variance = torch.log1p((spread / mean).square())
    return mean.log() - variance / 2, variance.sqrt()
