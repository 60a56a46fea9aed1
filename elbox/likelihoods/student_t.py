"""Student's t likelihood, for real numbers whose outliers should not pull at the fit at all."""

from __future__ import annotations

__all__ = ["StudentT"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution, Independent

from elbox import distributions
from elbox.distributions import soft_clip
from elbox.likelihoods.base import REAL_LINE, Likelihood, Number
from elbox.parts import part


@part
class StudentT(Likelihood):
    r"""p(x|z) = Π_d St(x_d; μ_d(z), s_d, ν), s in units of `scale` and ν > 1 learned, one of each for all dimensions.

    The gradient with respect to μ falls as 1/|x − μ| far out, so that an outlier is ignored. As ν grows it becomes
    `Gaussian`. ν = 1 + 4 e^{soft_clip(·)} starts at 5 and stays between 1.0002 and 88 000, so that the mean exists.

    Reference: Takahashi et al. (2018), *Student-t variational autoencoder for robust density estimation*.

    Arguments:
        net: Network z → standardised mean, of the event's shape; μ = offset + scale · net(z).
        offset: Location of the data (`DataSpec.offset`).
        scale: Spread of the data (`DataSpec.scale`).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> StudentT(MLP(2, [], 3))(torch.zeros(4, 2)).log_prob(torch.zeros(4, 3)).shape
        torch.Size([4])
    """

    kinds = REAL_LINE
    values = "finite real numbers"
    density = True

    def __init__(self, net: nn.Module, offset: Number = 0.0, scale: Number = 1.0) -> None:
        super().__init__()
        self.net = net
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.log_df = nn.Parameter(torch.zeros(()))
        self.set_units(offset, scale)

    def forward(self, c: Any = None) -> Distribution:
        mean, scale, dims = self.located(c)
        df = 1 + 4 * soft_clip(self.log_df).exp()
        student = distributions.StudentT(df, mean, scale * soft_clip(self.log_scale).exp())
        return Independent(student, dims, validate_args=False)
