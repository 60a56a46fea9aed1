"""The categorical likelihood: a free probability for every level."""

from __future__ import annotations

__all__ = ["Categorical"]

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.types import _size

from elbox.distributions import DiscretizedLogistic
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec

STANDARD = math.sqrt(3) / math.pi  # the scale at which a logistic distribution has standard deviation 1


class _Levels(torch.distributions.Categorical):
    """Categorical whose values are floats, as all data are, and whose mean is that of the levels."""

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value.long())

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return super().sample(sample_shape).to(self.logits.dtype)

    @property
    def mean(self) -> Tensor:
        return (self.probs * torch.arange(self._num_events, device=self.probs.device)).sum(-1)


@part
class Categorical(Likelihood):
    r"""p(x_d = k | z) = softmax(l + net(z))_{kd} for k = 0 … L − 1, independently over dimensions d.

    Knows nothing of the order of the levels: more parameters than `DiscretizedLogistic`, but any shape of distribution.

    Reference: van den Oord et al. (2016), *Pixel recurrent neural networks*, §2.2 (the discrete softmax over levels).

    Arguments:
        net: Network z → logits (L, *event).
        offset: Mean level in each dimension; None starts from equal probabilities, l = 0.
        scale: Spread of the levels. With an offset, l are the log-probabilities of a logistic distribution of that mean
            and spread, cut into levels, with a hundredth of equal probabilities mixed in.

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = Categorical(MLP(2, [], (17, 3)))
        >>> p(torch.zeros(4, 2)).log_prob(torch.full((4, 3), 16.0)).shape
        torch.Size([4])
    """

    kinds = ("levels", "binary")
    values = "levels 0 … L − 1 of the number that it was made for"
    robust = True

    def __init__(self, net: nn.Module, offset: Number | None = None, scale: Number = 1.0) -> None:
        super().__init__()
        self.net, self.uniform = net, offset is None
        self.set_units(0.0 if offset is None else offset, scale)

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        return (spec.levels or 2, *spec.event_shape)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Categorical:
        cls.check(spec)
        if spec.kind == "binary":
            return cls(net, _location_of_shares(spec.offset)) if spec.offset else cls(net)
        return cls(net, spec.offset, spec.scale)

    def forward(self, c: Any = None) -> Distribution:
        logits = self.net(c)
        dims = self.event_dims(c, logits) - 1
        logits = logits.movedim(-dims - 1, -1)
        if not self.uniform:
            logits = logits + self._start(logits.shape[logits.dim() - dims - 1 :])
        return Independent(_Levels(logits=logits, validate_args=False), dims, validate_args=False)

    def _start(self, shape: torch.Size) -> Tensor:
        """log-probabilities [*event, L] of the levels in the data, as far as mean and spread tell them."""
        mean, spread = (t.unsqueeze(-1) for t in self.units(shape[:-1]))
        levels = torch.arange(shape[-1], dtype=mean.dtype, device=mean.device)
        log_p = DiscretizedLogistic(mean, spread * STANDARD, shape[-1]).log_prob(levels)
        return torch.log(0.99 * log_p.exp() + 0.01 / shape[-1])


def _location_of_shares(share: Number) -> Number:
    """Where a logistic distribution of spread 1, cut into the levels 0 and 1, gives the ones this share."""
    if isinstance(share, tuple):
        return tuple(_location(s) for s in share)
    return _location(share)


def _location(share: float) -> float:
    kept = min(max(share, 0.001), 0.999)
    return 0.5 + STANDARD * math.log(kept / (1 - kept))
