"""The Laplace likelihood, for real numbers with outliers: the absolute error instead of the squared one."""

from __future__ import annotations

__all__ = ["Laplace"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution, Independent

from elbox.distributions import soft_clip
from elbox.likelihoods.base import REAL_LINE, Likelihood, Number
from elbox.parts import part


@part
class Laplace(Likelihood):
    r"""p(x|z) = Π_d exp(−|x_d − μ_d(z)|/b_d)/2b_d with one learned b for all dimensions, in units of `scale`/√2.

    At the optimum b is the mean absolute error, and μ the median of x given z, so that outliers count by their distance
    and not by its square.

    Reference: Kotz, Kozubowski & Podgórski (2001), *The Laplace distribution and generalizations*, ch. 2.

    Arguments:
        net: Network z → standardised median, of the event's shape; μ = offset + scale · net(z).
        offset: Location of the data (`DataSpec.offset`).
        scale: Spread of the data (`DataSpec.scale`); b starts at the value that gives this standard deviation.

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> Laplace(MLP(2, [], 3))(torch.zeros(4, 2)).log_prob(torch.zeros(4, 3)).shape
        torch.Size([4])
    """

    kinds = REAL_LINE
    values = "finite real numbers"
    density = True

    def __init__(self, net: nn.Module, offset: Number = 0.0, scale: Number = 1.0) -> None:
        super().__init__()
        self.net = net
        self.log_b = nn.Parameter(torch.zeros(()))
        self.set_units(offset, scale)

    def forward(self, c: Any = None) -> Distribution:
        mean, scale, dims = self.located(c)
        b = scale * soft_clip(self.log_b).exp() * 0.5**0.5
        laplace = torch.distributions.Laplace(mean, b.expand_as(mean), validate_args=False)
        return Independent(laplace, dims, validate_args=False)
