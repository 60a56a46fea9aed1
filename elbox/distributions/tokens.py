"""A distribution over sequences of codes, and over the vectors that they stand for."""

from __future__ import annotations

__all__ = ["Tokens"]

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from elbox.distributions.quantized import Vectors

SAMPLED = 2**26  # logits, at most, that are computed together while sampling


class Tokens(Distribution):
    r"""p(z) = Π_t p(c_t | c_1 … c_{t−1}) for z = e(c): one token c_t < K for each position and level, in raster order.

    A z that is the vector of no code has probability 0. The logits are a tensor where tokens are independent, else a
    function of all codes whose output for a token depends on those before it alone.

    Reference: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, §3.3.

    Arguments:
        codebook: Maps codes [..., P, L] to vectors z [..., D] and back.
        positions: P.
        logits: [P, L, K], or a function codes [..., P, L] ↦ [..., P, L, K].

    Shapes:
        `log_prob(z)`: z [..., D] → [...], nats.

    Example:
        >>> from elbox.nn import FiniteScalar
        >>> p = Tokens(FiniteScalar((3, 3)), 4, torch.zeros(4, 1, 9))
        >>> p.log_prob(p.sample((2,))) / torch.log(torch.tensor(9.0))
        tensor([-4., -4.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, codebook: Any, positions: int, logits: Tensor | Callable[[Tensor], Tensor]) -> None:
        self.codebook, self.positions, self.logits = codebook, positions, logits
        super().__init__(torch.Size(), torch.Size([codebook.depth * positions * codebook.width]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return Vectors(self.codebook)

    def log_prob(self, value: Tensor) -> Tensor:
        codes = self.codebook.codes(value)
        known = (self.codebook(codes) == value).all(-1)
        return self.log_prob_of(codes).masked_fill(~known, -torch.inf)

    def log_prob_of(self, codes: Tensor) -> Tensor:
        """log p of codes [..., P, L], nats, [...]."""
        logits = self.logits if isinstance(self.logits, Tensor) else self.logits(codes)
        log_p = torch.log_softmax(logits, -1).expand(*codes.shape, -1)
        return log_p.gather(-1, codes[..., None]).squeeze(-1).sum((-2, -1))

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        with torch.no_grad():
            return self.codebook(self.sample_codes(sample_shape))

    @torch.no_grad()
    def sample_codes(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        """Codes [*sample_shape, P, L], one token after the other where they depend on each other."""
        if isinstance(self.logits, Tensor):
            return _drawn(self.logits.expand(*sample_shape, *self.logits.shape))
        shape = (self.positions, self.codebook.depth)
        device = next(t.device for t in (*self.codebook.buffers(), *self.codebook.parameters()))
        codes = torch.zeros(prod(sample_shape), *shape, dtype=torch.long, device=device)
        for part in codes.split(max(1, SAMPLED // (prod(shape) * self.codebook.size))):
            for token in range(prod(shape)):
                position, level = divmod(token, shape[1])
                part[:, position, level] = _drawn(self.logits(part)[:, position, level])
        return codes.reshape(*sample_shape, *shape)


def _drawn(logits: Tensor) -> Tensor:
    """One category of each row of logits [..., K]."""
    p = torch.softmax(logits, -1)
    return torch.multinomial(p.reshape(-1, p.shape[-1]), 1).reshape(p.shape[:-1])
