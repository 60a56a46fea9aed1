"""The binomial likelihood, for levels that count successes in a fixed number of trials."""

from __future__ import annotations

__all__ = ["Binomial"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution, Independent

from elbox.errors import check_whole
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec


@part
class Binomial(Likelihood):
    r"""p(x_d = k | z) = (n choose k) y_d^k (1 − y_d)^{n−k}, y = σ(logit(m/n) + net(z)), for levels k = 0 … n = L − 1.

    One parameter a dimension, so the spread follows from the mean, n y (1 − y): right for scores and for counts of
    successes among n trials, too narrow for most images, for which there is `DiscretizedLogistic`.

    Reference: McCullagh & Nelder (1989), *Generalized linear models*, ch. 4.

    Arguments:
        net: Network z → logits of the event's shape.
        levels: Number of levels L ≥ 2, one more than the number of trials.
        offset: Mean level m in each dimension (`DataSpec.offset`); m/n is kept within [0.001, 0.999].

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Raises:
        SettingError: if there are fewer than 2 levels.

    Example:
        >>> from elbox.nn import MLP
        >>> p = Binomial(MLP(2, [], 3), levels=17)
        >>> p(torch.zeros(4, 2)).log_prob(torch.full((4, 3), 16.0)).shape
        torch.Size([4])
    """

    kinds = ("levels",)
    values = "levels 0 … L − 1 of the number that it was made for"

    def __init__(self, net: nn.Module, levels: int = 256, offset: Number | None = None) -> None:
        super().__init__()
        check_whole("levels", levels, 2)
        self.net, self.levels = net, levels
        self.set_units((levels - 1) / 2 if offset is None else offset, 1.0)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Binomial:
        cls.check(spec)
        return cls(net, spec.levels, spec.offset or None)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h)
        mean, _ = self.units(h.shape[h.dim() - dims :])
        trials = self.levels - 1
        logits = torch.logit((mean / trials).clamp(0.001, 0.999)) + h
        counts = torch.distributions.Binomial(torch.full_like(logits, trials), logits=logits, validate_args=False)
        return Independent(counts, dims, validate_args=False)
