"""The Bernoulli likelihood, for binary data only."""

from __future__ import annotations

__all__ = ["Bernoulli"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution, Independent

from elbox.likelihoods.base import Likelihood
from elbox.parts import part
from elbox.spec import DataSpec


@part
class Bernoulli(Likelihood):
    r"""log p(x|z) = Σ_d x_d log y_d + (1 − x_d) log(1 − y_d), y = σ(net(z)).

    Grey levels are not binary: on them this is no likelihood. Binarise the data, or use `DiscretizedLogistic`.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, eq. 11.

    Arguments:
        net: Network z → logits of the event's shape.

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = Bernoulli(MLP(2, [8], (1, 4, 4)))
        >>> p(torch.zeros(3, 2)).log_prob(torch.ones(3, 1, 4, 4)).shape
        torch.Size([3])
    """

    kinds = ("binary",)

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        return spec.event_shape

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Bernoulli:
        cls.check(spec)
        return cls(net)

    def forward(self, c: Any = None) -> Distribution:
        logits = self.net(c)
        pixels = torch.distributions.Bernoulli(logits=logits, validate_args=False)
        return Independent(pixels, self.event_dims(c, logits), validate_args=False)
