r"""Location–scale families on an interval that moves with its parameters: the uniform and the triangular distribution.

Where the density ends, its score ∂_φ log q has no mean zero (uniform) or no finite variance (triangular), so that only
reparameterised gradients may be taken: `elbox.distributions.moves`.
"""

from __future__ import annotations

__all__ = ["Triangular", "Uniform"]

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all
from torch.types import _size


class _Bounded(Distribution):
    """z = μ + s t with t in [−1, 1]."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    has_rsample = True

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> _Bounded:
        return type(self)(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return constraints.interval(self.loc - self.scale, self.loc + self.scale)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def _uniform(self, sample_shape: _size) -> Tensor:
        return torch.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)

    def _log(self, density: Tensor, value: Tensor) -> Tensor:
        """log(density / s) inside, −∞ outside; a sample that rounding moved over the edge is still inside."""
        rounding = 4 * torch.finfo(self.loc.dtype).eps * (self.loc.abs() + self.scale)
        outside = (value - self.loc).abs() > self.scale + rounding
        floor = torch.finfo(self.loc.dtype).eps
        return torch.where(outside, -math.inf, density.clamp(min=floor).log() - self.scale.log())


class Uniform(_Bounded):
    r"""The uniform distribution on [μ − s, μ + s], reparameterised as z = μ + s (2u − 1), u ~ U(0, 1).

        log p(z) = −log 2s,      |z − μ| ≤ s.

    That of `torch.distributions`, in location and scale, so that a network may give both, and safe against samples that
    rounding moves over the edge.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2.4, approach 2.

    Arguments:
        loc: Middle μ of the interval, in units of z, any shape.
        scale: Half its width, s > 0, in units of z, broadcastable with `loc`.

    Example:
        >>> Uniform(torch.tensor(1.0), torch.tensor(2.0)).log_prob(torch.tensor([-0.5, 3.5])).exp()
        tensor([0.2500, 0.0000])
    """

    @property
    def variance(self) -> Tensor:
        return self.scale.square() / 3

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.loc + self.scale * (2 * self._uniform(sample_shape) - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._log(torch.full_like(value - self.loc, 0.5), value)

    def cdf(self, value: Tensor) -> Tensor:
        return ((value - self.loc) / self.scale).clamp(-1, 1) / 2 + 0.5

    def entropy(self) -> Tensor:
        return (2 * self.scale).log()


class Triangular(_Bounded):
    r"""The symmetric triangular distribution on [μ − s, μ + s], reparameterised as z = μ + s (u + u' − 1) with u and u'
    ~ U(0, 1).

        log p(z) = log(1 − |z − μ|/s) − log s,      |z − μ| ≤ s.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2.4, approach 2.

    Arguments:
        loc: Peak μ, in units of z, any shape.
        scale: Half the width, s > 0, in units of z, broadcastable with `loc`.

    Example:
        >>> Triangular(torch.tensor(1.0), torch.tensor(2.0)).log_prob(torch.tensor([1.0, 2.0, 3.5])).exp()
        tensor([0.5000, 0.2500, 0.0000])
    """

    @property
    def variance(self) -> Tensor:
        return self.scale.square() / 6

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.loc + self.scale * (self._uniform(sample_shape) + self._uniform(sample_shape) - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        return self._log(1 - ((value - self.loc) / self.scale).abs(), value)

    def cdf(self, value: Tensor) -> Tensor:
        t = ((value - self.loc) / self.scale).clamp(-1, 1)
        return 0.5 + t - t * t.abs() / 2

    def entropy(self) -> Tensor:
        return self.scale.log() + 0.5
