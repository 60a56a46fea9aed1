"""The Poisson likelihood, for counts."""

from __future__ import annotations

__all__ = ["Poisson"]

from typing import Any

from torch import nn
from torch.distributions import Distribution, Independent

from elbox import distributions
from elbox.distributions import soft_clip
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec


@part
class Poisson(Likelihood):
    r"""p(x_d = k | z) = λ_d^k e^{−λ_d} / k! with λ = m · exp(soft_clip(net(z))), so λ/m in e^{±10}.

    Reference: Gopalan et al. (2015), *Scalable recommendation with hierarchical Poisson factorization* (counts as
    Poisson given latent factors).

    Arguments:
        net: Network z → log-rates of the event's shape.
        offset: Typical count m > 0, one number or one for each dimension (`DataSpec.offset`); at least 0.001.

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> Poisson(MLP(2, [], 3))(torch.zeros(4, 2)).log_prob(torch.ones(4, 3)).shape
        torch.Size([4])
    """

    kinds = ("count",)
    values = "whole numbers ≥ 0"

    def __init__(self, net: nn.Module, offset: Number = 1.0) -> None:
        super().__init__()
        self.net = net
        self.set_units(offset, 1.0)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Poisson:
        cls.check(spec)
        return cls(net, spec.offset or 1.0)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h)
        typical, _ = self.units(h.shape[h.dim() - dims :])
        counts = distributions.Poisson(typical.clamp(min=0.001) * soft_clip(h).exp())
        return Independent(counts, dims, validate_args=False)
