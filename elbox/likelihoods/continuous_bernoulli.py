"""The continuous Bernoulli likelihood, for values in [0, 1], both ends included."""

from __future__ import annotations

__all__ = ["ContinuousBernoulli"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from elbox import distributions
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec


@part
class ContinuousBernoulli(Likelihood):
    r"""log p(x|z) = Σ_d x_d log λ_d + (1 − x_d) log(1 − λ_d) + log C(λ_d), λ = σ(η₀ + net(z)), for x in [0, 1]^D.

    Binary cross-entropy of grey values, which is no likelihood, made into one by its normaliser C (`log C` is up to
    several nats a pixel). The density of values on a scale of 0 to 1: nats depend on that scale. An untrained network
    reconstructs the mean example: η₀ is the natural parameter whose mean is that of the data.

    Reference: Loaiza-Ganem & Cunningham (2019), *The continuous Bernoulli: fixing a pervasive error in variational
    autoencoders*, §3.

    Arguments:
        net: Network z → natural parameters η − η₀ of the event's shape.
        offset: Mean of the data in each dimension (`DataSpec.offset`); kept within [0.001, 0.999].

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = ContinuousBernoulli(MLP(2, [8], (1, 4, 4)))
        >>> p(torch.zeros(3, 2)).log_prob(torch.full((3, 1, 4, 4), 0.5)).shape
        torch.Size([3])
    """

    kinds = ("unit",)
    values = "values in [0, 1]: divide by the largest possible value, or choose another likelihood"
    density = True
    robust = True
    start: Tensor

    def __init__(self, net: nn.Module, offset: Number = 0.5) -> None:
        super().__init__()
        self.net = net
        self.set_units(offset, 1.0)
        self.register_buffer("start", natural(self.offset), persistent=False)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> ContinuousBernoulli:
        cls.check(spec)
        known = isinstance(spec.offset, tuple) or 0 < spec.offset < 1
        return cls(net, spec.offset if known else 0.5)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h)
        start = self.start.reshape(h.shape[h.dim() - dims :]) if self.start.dim() else self.start
        return Independent(distributions.ContinuousBernoulli(start + h), dims, validate_args=False)


def natural(mean: Tensor) -> Tensor:
    """η of the continuous Bernoulli with this mean, kept within [0.001, 0.999]: the mean rises with η, so bisect."""
    target = mean.double().clamp(0.001, 0.999)
    low, high = torch.full_like(target, -1001.0), torch.full_like(target, 1001.0)
    for _ in range(60):
        middle = (low + high) / 2
        above = distributions.ContinuousBernoulli(middle).mean > target
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return ((low + high) / 2).to(mean.dtype)
