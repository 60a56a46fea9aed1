r"""The continuous Bernoulli distribution on [0, 1], exact for every natural parameter."""

from __future__ import annotations

__all__ = ["ContinuousBernoulli"]

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

NEAR = 0.1  # below, a series: there the closed forms subtract 1/|η| from 1/|η|


class ContinuousBernoulli(Distribution):
    r"""p(x) = C(λ) λ^x (1 − λ)^{1−x} on [0, 1] with C(λ) = 2 artanh(1 − 2λ)/(1 − 2λ), and C(½) = 2.

    In the natural parameter η = log λ/(1 − λ) this is p(x) = e^{ηx} η/(e^η − 1). With a = |η| and d the distance of x
    from the end at which the density is highest (1 if η > 0, else 0),

        log p(x) = log a − log(1 − e^{−a}) − a d,

    an exponential distribution cut off at 1, in which nothing overflows. For a < 0.1 the series

        log p(x) = η (x − ½) − η²/24 + η⁴/2880 − η⁶/181440

    takes over, so that value and gradient are exact through λ = ½. (torch's own clamps λ in the normaliser but not in
    λ^x, and loses three digits near ½ in float32.)

    Reference: Loaiza-Ganem & Cunningham (2019), *The continuous Bernoulli: fixing a pervasive error in variational
    autoencoders*, §3.

    Arguments:
        logits: Natural parameter η, any shape. σ(η) = λ is not the mean.

    Example:
        >>> p = ContinuousBernoulli(torch.tensor([0.0, 3.0]))
        >>> p.log_prob(torch.tensor(0.5)).exp(), p.mean
        (tensor([1.0000, 0.7045]), tensor([0.5000, 0.7191]))
    """

    arg_constraints = {"logits": constraints.real}
    support = constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        size, near = self._size()
        distance = torch.where(self.logits > 0, 1 - value, value)
        far = size.log() - torch.log(-torch.expm1(-size)) - size * distance
        eta = torch.where(near, self.logits, 0.0)
        square = eta.square()
        series = eta * (value - 0.5) - square * (1 / 24 - square * (1 / 2880 - square / 181440))
        return torch.where(near, series, far)

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        """By the inverse of the cumulative distribution, of the distance from the likelier end."""
        size = self.logits.abs().clamp(min=1e-4)  # uniform to 1e-5
        u = torch.rand(self._extended_shape(sample_shape), dtype=size.dtype, device=size.device)
        distance = (-torch.log1p(u * torch.expm1(-size)) / size).clamp(0, 1)
        return torch.where(self.logits > 0, 1 - distance, distance)

    @property
    def mean(self) -> Tensor:
        """E[x] = 1/(1 − e^{−η}) − 1/η."""
        size, near = self._size()
        low = 1 / size - torch.exp(-size) / -torch.expm1(-size)  # the mean at −|η|
        eta = torch.where(near, self.logits, 0.0)
        square = eta.square()
        series = 0.5 + eta * (1 / 12 - square * (1 / 720 - square / 30240))
        return torch.where(near, series, torch.where(self.logits > 0, 1 - low, low))

    def _size(self) -> tuple[Tensor, Tensor]:
        """|η|, replaced by 1 where the series is used, so that no infinite gradient hides there; and where that is."""
        size = self.logits.abs()
        near = size < NEAR
        return torch.where(near, 1.0, size), near
