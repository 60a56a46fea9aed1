"""The Bernoulli likelihood, for binary data only."""

from __future__ import annotations

__all__ = ["Bernoulli"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution

from elbox.distributions import Bits
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec


@part
class Bernoulli(Likelihood):
    r"""log p(x|z) = Σ_d x_d log y_d + (1 − x_d) log(1 − y_d), y = σ(logit m + net(z)).

    With m the share of ones in each dimension, an untrained network reconstructs the mean example; without it the first
    thousand steps are spent on that, and latent units die meanwhile (the published code of Burda et al., 2016, starts
    the last bias there).

    Grey levels are not binary: on them this is no likelihood. Binarise the data, or use `DiscretizedLogistic`.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, eq. 11.

    Arguments:
        net: Network z → logits of the event's shape.
        offset: Share of ones m, one number or one for each dimension (`DataSpec.offset`); kept within [0.001, 0.999].

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = Bernoulli(MLP(2, [8], (1, 4, 4)))
        >>> p(torch.zeros(3, 2)).log_prob(torch.ones(3, 1, 4, 4)).shape
        torch.Size([3])
    """

    kinds = ("binary",)
    values = "0 and 1: binarise them, or choose another likelihood"
    robust = True

    def __init__(self, net: nn.Module, offset: Number = 0.5) -> None:
        super().__init__()
        self.net = net
        self.set_units(offset, 1.0)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Bernoulli:
        cls.check(spec)
        known = isinstance(spec.offset, tuple) or 0 < spec.offset < 1
        return cls(net, spec.offset if known else 0.5)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h)
        share, _ = self.units(h.shape[h.dim() - dims :])
        logits = torch.logit(share.clamp(0.001, 0.999)) + h
        return Bits(logits, dims)
