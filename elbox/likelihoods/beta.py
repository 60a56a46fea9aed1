"""The beta likelihood, for values strictly between 0 and 1."""

from __future__ import annotations

__all__ = ["Beta"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from elbox import distributions
from elbox.distributions import soft_clip
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec


@part
class Beta(Likelihood):
    r"""p(x_d|z) = x_d^{α−1} (1 − x_d)^{β−1} / B(α, β) with mean y = α/(α + β) and concentration κ = α + β for each d.

    The network puts out (2, *event), g and r: logit y = logit m + soft_clip(g), κ = κ₀ exp(soft_clip(r)). Without a
    word from the network, mean and spread are those of the data, κ₀ = m (1 − m)/s² − 1.

    0 and 1 are outside its support, since the density there is 0 or infinite: data with such values are refused. Use
    `ContinuousBernoulli` for them, or move them inside first, x ↦ (x (N − 1) + ½)/N for N rows (Smithson & Verkuilen,
    2006).

    Reference: Ferrari & Cribari-Neto (2004), *Beta regression for modelling rates and proportions* (in terms of
    mean and precision).

    Arguments:
        net: Network z → (2, *event).
        offset: Mean m of the data (`DataSpec.offset`); kept within [0.001, 0.999].
        scale: Spread s of the data (`DataSpec.scale`); κ₀ is kept within [0.1, 1000].

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = Beta(MLP(2, [], (2, 3)))
        >>> p(torch.zeros(4, 2)).log_prob(torch.full((4, 3), 0.3)).shape
        torch.Size([4])
    """

    kinds = ("unit",)
    values = "values strictly between 0 and 1: use ContinuousBernoulli, or move 0 and 1 inside"
    density = True

    def __init__(self, net: nn.Module, offset: Number = 0.5, scale: Number = 0.25) -> None:
        super().__init__()
        self.net = net
        self.set_units(offset, scale)

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        return (2, *spec.event_shape)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Beta:
        cls.check(spec)
        known = isinstance(spec.offset, tuple) or 0 < spec.offset < 1
        return cls(net, spec.offset if known else 0.5, spec.scale)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h) - 1
        logit, log_kappa = h.unbind(-dims - 1)
        mean, spread = self.units(logit.shape[logit.dim() - dims :])
        mean = mean.clamp(0.001, 0.999)
        kappa = _concentration(mean, spread) * soft_clip(log_kappa).exp()
        logit = torch.logit(mean) + soft_clip(logit)
        beta = distributions.Beta(torch.sigmoid(logit) * kappa, torch.sigmoid(-logit) * kappa)
        return Independent(beta, dims, validate_args=False)


def _concentration(mean: Tensor, spread: Tensor) -> Tensor:
    """κ of the beta distribution with that mean and standard deviation, where there is one."""
    return (mean * (1 - mean) / spread.square() - 1).clamp(0.1, 1000.0)
