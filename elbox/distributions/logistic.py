"""The logistic distribution."""

from __future__ import annotations

__all__ = ["Logistic"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all
from torch.types import _size


class Logistic(Distribution):
    r"""The logistic distribution, reparameterised by its inverse CDF: z = μ + s log(u / (1 − u)), u ~ U(0, 1).

        log p(z) = −y − 2 log(1 + e^{−y}) − log s,      y = (z − μ)/s.

    It is a location–scale family too. The density is smooth, with tails of a Laplace distribution.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2.4, approaches 1 and 2.

    Arguments:
        loc: Location μ, in units of z, any shape.
        scale: Scale s > 0, in units of z, broadcastable with `loc`; the standard deviation is πs/√3.

    Example:
        >>> Logistic(torch.tensor(0.0), torch.tensor(1.0)).log_prob(torch.tensor(0.0)).exp()
        tensor(0.2500)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Logistic:
        return Logistic(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (math.pi * self.scale).square() / 3

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        u = torch.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        return self.icdf(u.clamp(min=torch.finfo(u.dtype).eps / 2))  # u is never 1, but may be 0

    def log_prob(self, value: Tensor) -> Tensor:
        y = ((value - self.loc) / self.scale).abs()  # an even function of it: nothing overflows
        return -y - 2 * F.softplus(-y) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        return torch.sigmoid((value - self.loc) / self.scale)

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * (value.log() - torch.log1p(-value))

    def entropy(self) -> Tensor:
        return self.scale.log() + 2
