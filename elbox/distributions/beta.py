r"""The beta distribution on (0, 1), finite for concentrations from 1e-9 to 1e9."""

from __future__ import annotations

__all__ = ["Beta"]

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from elbox.distributions.gamma import log_beta


class _Between(constraints.Constraint):
    """Strictly between 0 and 1."""

    def check(self, value: Tensor) -> Tensor:
        return (value > 0) & (value < 1)


class Beta(Distribution):
    r"""p(x) = x^{α−1} (1 − x)^{β−1} / B(α, β) for 0 < x < 1.

    At x = 0 and x = 1 the density is 0 or infinite; they are outside the support. Samples are kept away from both by
    one step of the floating-point type.

    torch's `Beta` counts 0 and 1 as possible, subtracts logarithms of gamma functions that agree in all digits once
    α + β is large, and where both are tiny draws values near ½ in place of the ends (pytorch issue 15738).

    Reference: Johnson, Kotz & Balakrishnan (1995), *Continuous univariate distributions 2*, ch. 25.

    Arguments:
        alpha: α > 0, any shape.
        beta: β > 0, broadcastable with `alpha`.

    Example:
        >>> p = Beta(torch.tensor(2.0), torch.tensor(6.0))
        >>> p.mean, p.log_prob(torch.tensor(0.25)).exp()
        (tensor(0.2500), tensor(2.4917))
    """

    arg_constraints = {"alpha": constraints.positive, "beta": constraints.positive}
    support = _Between()

    def __init__(self, alpha: Tensor, beta: Tensor) -> None:
        self.alpha, self.beta = torch.broadcast_tensors(alpha, beta)
        super().__init__(self.alpha.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        ends = (self.alpha - 1) * value.log() + (self.beta - 1) * torch.log1p(-value)
        return ends - log_beta(self.alpha, self.beta)

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        """G/(G + H) of two gamma variables, from their logarithms."""
        shape = self._extended_shape(sample_shape)
        x = torch.sigmoid(_log_gamma(self.alpha.expand(shape)) - _log_gamma(self.beta.expand(shape)))
        limits = torch.finfo(x.dtype)
        return x.clamp(limits.tiny, 1 - limits.eps / 2)

    @property
    def mean(self) -> Tensor:
        return self.alpha / (self.alpha + self.beta)

    @property
    def variance(self) -> Tensor:
        total = self.alpha + self.beta
        return self.alpha * self.beta / (total.square() * (total + 1))


def _log_gamma(shape: Tensor) -> Tensor:
    """The logarithm of a gamma variable: that of shape + 1, times U^{1/shape} (Marsaglia & Tsang, 2000)."""
    u = torch.rand_like(shape).clamp(min=torch.finfo(shape.dtype).tiny)
    return torch._standard_gamma(shape + 1).log() + u.log() / shape
