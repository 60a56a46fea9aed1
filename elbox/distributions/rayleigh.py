"""The Rayleigh distribution."""

from __future__ import annotations

__all__ = ["Rayleigh"]

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all, euler_constant
from torch.types import _size


class Rayleigh(Distribution):
    r"""The length of a normal vector in the plane, reparameterised by its inverse CDF: z = σ √(−2 log u), u ~ U(0, 1).

        log p(z) = log z − 2 log σ − z² / (2σ²),      z > 0.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2.4, approach 1.

    Arguments:
        scale: Standard deviation σ > 0 of the vector's two components, in units of z, any shape.

    Example:
        >>> Rayleigh(torch.tensor(2.0)).mode
        tensor(2.)
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, scale: Tensor) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(self.scale.shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Rayleigh:
        return Rayleigh(self.scale.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        return math.sqrt(math.pi / 2) * self.scale

    @property
    def mode(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return (2 - math.pi / 2) * self.scale.square()

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        minus_log_u = self.scale.new_empty(self._extended_shape(sample_shape)).exponential_()
        return self.scale * (2 * minus_log_u).sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        return value.log() - 2 * self.scale.log() - (value / self.scale).square() / 2

    def cdf(self, value: Tensor) -> Tensor:
        return -torch.expm1(-(value / self.scale).square() / 2)

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (-2 * torch.log1p(-value)).sqrt()

    def entropy(self) -> Tensor:
        return self.scale.log() + 1 - math.log(2) / 2 + euler_constant / 2
