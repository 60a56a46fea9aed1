"""The multinomial likelihood, for compositions: words in documents, counts given their total."""

from __future__ import annotations

__all__ = ["Multinomial"]

from typing import Any

from torch import nn
from torch.distributions import Distribution

from elbox import distributions
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec


@part
class Multinomial(Likelihood):
    r"""p(x|z, n) = n! Π_d π_d^{x_d}/x_d!, π = softmax(log m + net(z)) over all dimensions, with n = Σ_d x_d given.

    A probability of the composition of a row given its total, which the model does not explain; the number of orders
    in which the n things may come is part of it (topic models often leave n!/Π x_d! out, which has no parameter). An
    empty row has probability 1.

    Samples and means are of a row of typical total, round(Σ_d m_d), whatever the total of the row that z came from.

    Reference: Miao, Yu & Blunsom (2016), *Neural variational inference for text processing* (the decoder of its neural
    variational document model); Srivastava & Sutton (2017), *Autoencoding variational inference for topic models*.

    Arguments:
        net: Network z → h of the event's shape.
        offset: Mean count m in each dimension (`DataSpec.offset`); at least 1e-4 of their mean.

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> p = Multinomial(MLP(2, [], 3), offset=(1.0, 2.0, 7.0))(torch.zeros(4, 2))
        >>> p.log_prob(torch.ones(4, 3)).shape, p.mean[0]
        (torch.Size([4]), tensor([1.0000, 2.0000, 7.0000], grad_fn=<SelectBackward0>))
    """

    kinds = ("count",)
    values = "whole numbers ≥ 0"

    def __init__(self, net: nn.Module, offset: Number = 1.0) -> None:
        super().__init__()
        self.net = net
        self.mean_count = sum(offset) / len(offset) if isinstance(offset, tuple) else offset
        self.set_units(offset, 1.0)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Multinomial:
        cls.check(spec)
        return cls(net, spec.offset or 1.0)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h)
        event = h.shape[h.dim() - dims :]
        typical, _ = self.units(event)
        start = typical.clamp(min=1e-4 * self.mean_count).log()
        total = max(1, round(self.mean_count * event.numel()))
        return distributions.Multinomial(start + h, dims, total)
