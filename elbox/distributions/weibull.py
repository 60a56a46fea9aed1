"""The Weibull distribution, with a density that does not underflow."""

from __future__ import annotations

__all__ = ["Weibull"]

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all, euler_constant
from torch.types import _size


class Weibull(Distribution):
    r"""The Weibull distribution, reparameterised by its inverse CDF: z = λ (−log u)^{1/k}, u ~ U(0, 1).

        log p(z) = log k − log λ + (k − 1) log(z/λ) − (z/λ)^k,      z > 0.

    That of `torch.distributions`, whose density is not finite where (z/λ)^k underflows, as codes of other families with
    much mass near 0 make it.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2.4, approach 1.

    Arguments:
        scale: λ > 0, in units of z, any shape.
        concentration: Shape k > 0, broadcastable with `scale`; 1 is the exponential, 2 the Rayleigh distribution.

    Example:
        >>> Weibull(torch.tensor(1.0), torch.tensor(2.5)).log_prob(torch.tensor(1e-30))
        tensor(-102.7...)
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, scale: Tensor, concentration: Tensor) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        super().__init__(self.scale.shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Weibull:
        return Weibull(self.scale.expand(batch_shape), self.concentration.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Tensor:
        """0 for k ≤ 1."""
        return self.scale * ((self.concentration - 1).clamp(min=0) / self.concentration) ** (1 / self.concentration)

    @property
    def variance(self) -> Tensor:
        return self.scale.square() * (self._moment(2) - self._moment(1).square())

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        minus_log_u = self.scale.new_empty(self._extended_shape(sample_shape)).exponential_()
        return self.scale * minus_log_u ** (1 / self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        u = value.log() - self.scale.log()
        k = self.concentration
        return k.log() - self.scale.log() + (k - 1) * u - torch.exp(k * u)

    def cdf(self, value: Tensor) -> Tensor:
        return -torch.expm1(-((value / self.scale) ** self.concentration))

    def icdf(self, value: Tensor) -> Tensor:
        return self.scale * (-torch.log1p(-value)) ** (1 / self.concentration)

    def entropy(self) -> Tensor:
        return euler_constant * (1 - 1 / self.concentration) + (self.scale / self.concentration).log() + 1

    def _moment(self, n: int) -> Tensor:
        """E[(z/λ)ⁿ] = Γ(1 + n/k)."""
        return torch.lgamma(1 + n / self.concentration).exp()
