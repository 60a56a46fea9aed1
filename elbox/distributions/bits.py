r"""Independent bits, with a log-probability that takes one logarithm for many of them."""

from __future__ import annotations

__all__ = ["Bit", "Bits"]

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Independent

from elbox.distributions.code import Code

FACTORS = 64  # multiplied before a logarithm is taken: each is in (1, 2], and 2^64 is far from overflow
LANES = 16  # numbers that a CPU takes at once: blocks that many wide suit it


class Bit(Bernoulli):
    """torch's Bernoulli, with a closed-form KL for logits of different shapes, such as [B, D] and [D]."""


class Bits(Independent, Code):
    r"""An event of D independent bits with logits l.

        log p(x) = Σ_d x_d l_d − log(1 + e^{l_d})
                 = Σ_d (x_d l_d − max(l_d, 0)) − Σ_j log Π_{d in block j} (1 + e^{−|l_d|}).

    The second form takes one logarithm a block instead of one a bit, on a CPU most of the time of a pass over an image.
    The gradient is x − σ(l), as ever.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, eq. 11 (the first form).

    Arguments:
        logits: l, [..., *event].
        event_dims: Number of dimensions of the event, ≥ 1.

    Shapes:
        `log_prob(x)`: x [..., *event] → [...].

    Example:
        >>> l, x = torch.randn(7, 3, 1, 28, 28), torch.ones(3, 1, 28, 28)
        >>> plain = Independent(Bernoulli(logits=l), 3).log_prob(x)
        >>> torch.allclose(Bits(l, 3).log_prob(x), plain, rtol=1e-5)
        True
    """

    base_dist: Bit

    def __init__(self, logits: Tensor, event_dims: int) -> None:
        self.scores = logits
        super().__init__(Bit(logits=logits, validate_args=False), event_dims, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        dims = self.reinterpreted_batch_ndims
        return _LogProb.apply(self.base_dist.logits.flatten(-dims), value.flatten(-dims))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Bits:
        shape = torch.Size(batch_shape)
        return Bits(self.base_dist.logits.expand(shape + self.event_shape), self.reinterpreted_batch_ndims)

    # As a code

    def at(self, scores: Tensor) -> Bits:
        return Bits(scores, self.reinterpreted_batch_ndims)

    @property
    def size(self) -> int:
        return int(2 ** self.event_shape.numel())

    def codes(self) -> Tensor:
        numbers = torch.arange(self.size, device=self.scores.device)[:, None]
        places = torch.arange(self.event_shape.numel() - 1, -1, -1, device=self.scores.device)
        return ((numbers >> places) & 1).to(self.scores.dtype).unflatten(-1, self.event_shape)

    def noisy(self, sample_shape: Sequence[int] = ()) -> Tensor:
        u = torch.rand((*sample_shape, *self.scores.shape), dtype=self.scores.dtype, device=self.scores.device)
        return self.scores + torch.logit(u, torch.finfo(u.dtype).eps)

    def harden(self, noisy: Tensor) -> Tensor:
        return (noisy > 0).to(noisy.dtype)

    def soften(self, noisy: Tensor, temperature: Tensor | float) -> Tensor:
        return torch.sigmoid(noisy / temperature)

    def given(self, code: Tensor, noisy: Tensor) -> Tensor:
        r"""ζ̃ = s log(1 + e^{logit v} (1 + e^{s l})), s = 2b − 1, with v uniform."""
        sign, size = 2 * code - 1, noisy.detach().abs().clamp(min=torch.finfo(noisy.dtype).tiny)
        odds = F.softplus(sign * self.scores)
        logit_v = (size + torch.log(-torch.expm1(-size)) - odds).detach()  # the inverse, for this ζ̃ = ζ
        return sign * F.softplus(logit_v + odds)


def _divisors(size: int) -> list[int]:
    return [n for n in range(1, min(size, FACTORS) + 1) if size % n == 0]


class _LogProb(torch.autograd.Function):
    """log p(x) of logits and bits, both [..., D]: differentiating the product as it stands would be slow."""

    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, x: Tensor) -> Tensor:
        size = logits.shape[-1]
        length = max(_divisors(size), key=lambda n: (n >= LANES and size // n % LANES == 0, n))
        factors = logits.abs().neg_().exp_().add_(1)  # in place: on a CPU new memory costs as much as the arithmetic
        blocks = factors.unflatten(-1, (length, size // length)).prod(-2)
        return (x * logits).sub_(logits.clamp(min=0)).sum(-1).sub_(blocks.log_().sum(-1))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        logits, x = ctx.saved_tensors
        gradient = gradient.unsqueeze(-1)
        to_logits = (
            (gradient * (x - torch.sigmoid(logits))).sum_to_size(logits.shape) if ctx.needs_input_grad[0] else None
        )
        to_x = (gradient * logits).sum_to_size(x.shape) if ctx.needs_input_grad[1] else None
        return to_logits, to_x
