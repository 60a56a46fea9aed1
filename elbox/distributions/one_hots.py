r"""Categorical variables, one-hot and side by side in one flat vector."""

from __future__ import annotations

__all__ = ["OneHot", "OneHots"]

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints
from torch.types import _size

from elbox.distributions.code import Code, gumbels


class OneHot(Distribution):
    """One categorical variable with C categories, as a one-hot vector: batch shape [...] over [C].

    Arguments:
        logits: Unnormalised log-probabilities [..., C].
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.one_hot

    def __init__(self, logits: Tensor) -> None:
        self.logits = torch.log_softmax(logits, -1)
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.logits.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean)

    def log_prob(self, value: Tensor) -> Tensor:
        return (value * self.logits).sum(-1)


class _Flat(constraints.Constraint):
    """One-hot vectors of C categories side by side."""

    is_discrete, event_dim = True, 1

    def __init__(self, categories: int) -> None:
        self.categories = categories

    def check(self, value: Tensor) -> Tensor:
        return constraints.one_hot.check(value.unflatten(-1, (-1, self.categories))).all(-1)


class OneHots(Independent, Code):
    r"""G independent categorical variables with C categories each, one-hot and flattened: an event of D = G·C numbers.

        log p(z) = Σ_g Σ_c z_gc log π_gc,      π_g = softmax(l_g).

    Reference: Jang, Gu & Poole (2017), *Categorical reparameterization with Gumbel-softmax*, eq. 1 and 2 (draws, and
    the relaxation).

    Arguments:
        logits: l, [..., G·C], the C logits of the first variable first.
        categories: C ≥ 2.

    Shapes:
        `log_prob(z)`: z [..., G·C] → [...].

    Example:
        >>> d = OneHots(torch.zeros(6), categories=3)
        >>> d.log_prob(torch.tensor([1.0, 0, 0, 0, 0, 1])), d.codes().shape
        (tensor(-2.1972), torch.Size([9, 6]))
    """

    base_dist: OneHot

    def __init__(self, logits: Tensor, categories: int) -> None:
        self.scores, self.categories = logits, categories
        super().__init__(OneHot(self._split(logits)), 1, validate_args=False)
        self._event_shape = logits.shape[-1:]

    def _split(self, flat: Tensor) -> Tensor:
        return flat.unflatten(-1, (-1, self.categories))

    @property
    def support(self) -> constraints.Constraint:
        return _Flat(self.categories)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean.flatten(-2)

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance.flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        return (value * self.base_dist.logits.flatten(-2)).sum(-1)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.harden(self.at(self.scores.detach()).noisy(sample_shape))

    def expand(self, batch_shape: Any, _instance: Any = None) -> OneHots:
        return self.at(self.scores.expand(torch.Size(batch_shape) + self.event_shape))

    # As a code

    def at(self, scores: Tensor) -> OneHots:
        return OneHots(scores, self.categories)

    @property
    def size(self) -> int:
        return int(self.categories ** (self.event_shape[0] // self.categories))

    def codes(self) -> Tensor:
        one = torch.eye(self.categories, dtype=self.scores.dtype, device=self.scores.device)
        groups = self.event_shape[0] // self.categories
        digits = torch.arange(self.size, device=one.device)[:, None] // self.categories ** torch.arange(
            groups - 1, -1, -1, device=one.device
        )
        return one[digits % self.categories].flatten(-2)

    def noisy(self, sample_shape: Sequence[int] = ()) -> Tensor:
        logits = self.base_dist.logits.flatten(-2)
        return logits + gumbels(logits, (*sample_shape, *logits.shape))

    def harden(self, noisy: Tensor) -> Tensor:
        split = self._split(noisy.detach())
        largest = split.argmax(-1, keepdim=True) == torch.arange(self.categories, device=noisy.device)
        return largest.to(noisy.dtype).flatten(-2)

    def soften(self, noisy: Tensor, temperature: Tensor | float) -> Tensor:
        return torch.softmax(self._split(noisy) / temperature, -1).flatten(-2)

    def given(self, code: Tensor, noisy: Tensor) -> Tensor:
        r"""−ζ_c is the logarithm of an exponential variable E_c/π_c, and the largest ζ that of a minimum:

        ζ̃_k = −log E_k for the chosen k, ζ̃_c = −log(E_c/π_c + E_k) for the others, with E_1 … E_C independent.
        """
        chosen, zeta, logits = self._split(code) == 1, self._split(noisy.detach()), self.base_dist.logits
        top = zeta.masked_fill(~chosen, -torch.inf).amax(-1, keepdim=True)
        gap = torch.where(chosen, torch.ones_like(zeta), top - zeta).clamp(min=torch.finfo(zeta.dtype).tiny)
        log_e = (logits - zeta + torch.log(-torch.expm1(-gap))).detach()
        others = -torch.logaddexp(log_e - logits, -top)
        return torch.where(chosen, top, others).flatten(-2)
