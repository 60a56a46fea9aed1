r"""What a distribution of discrete codes offers beside `sample` and `log_prob`: enumeration, and relaxation.

A discrete code b is a rounded continuous variable, b = H(ζ) with ζ = logits + noise: bits are 1 where ζ > 0 under
logistic noise, a category is the one with the largest ζ under Gumbel noise. All gradient estimators that go through
ζ need no more than the methods here.
"""

from __future__ import annotations

__all__ = ["Code", "gumbels"]

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class Code(ABC):
    r"""Mixin of distributions over codes b ∈ {0, 1}^D with logits l.

    Log-probabilities are linear in b, so that they extend to relaxed codes between 0 and 1.

    Reference: Maddison, Mnih & Teh (2017), *The concrete distribution*; Jang, Gu & Poole (2017), *Categorical
    reparameterization with Gumbel-softmax*; Tucker et al. (2017), *REBAR*, appendix (ζ given b).
    """

    scores: Tensor  # logits l as they were given, [..., D]

    @abstractmethod
    def at(self, scores: Tensor) -> Code:
        """The same distribution with other logits [..., D]."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of all codes."""

    @abstractmethod
    def codes(self) -> Tensor:
        """All codes, [N, D]."""

    @abstractmethod
    def noisy(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """ζ = l + noise, reparameterised in l, [*sample_shape, ..., D]."""

    @abstractmethod
    def harden(self, noisy: Tensor) -> Tensor:
        """b = H(ζ), a draw of the code for each ζ; it carries no gradient."""

    @abstractmethod
    def soften(self, noisy: Tensor, temperature: Tensor | float) -> Tensor:
        """The relaxed code, that of ζ/λ, within (0, 1); it goes to b as λ goes to 0."""

    @abstractmethod
    def given(self, code: Tensor, noisy: Tensor) -> Tensor:
        """ζ̃ ~ p(ζ|b), reparameterised in l, with the noise that gives ζ̃ = `noisy`: that value, another gradient."""


def gumbels(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard Gumbel noise −log(−log u), of the type and on the device of `like`."""
    tiny = torch.finfo(like.dtype).eps
    u = torch.rand(torch.Size(shape), dtype=like.dtype, device=like.device).clamp(tiny, 1 - tiny)
    return -torch.log(-torch.log(u))
