"""The categorical likelihood: a free probability for every level."""

from __future__ import annotations

__all__ = ["Categorical"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.types import _size

from elbox.likelihoods.base import Likelihood
from elbox.parts import part
from elbox.spec import DataSpec


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
    r"""p(x_d = k | z) = softmax(net(z))_{kd} for k = 0 … L − 1, independently over dimensions d.

    Knows nothing of the order of the levels: more parameters than `DiscretizedLogistic`, but any shape of distribution.

    Reference: van den Oord et al. (2016), *Pixel recurrent neural networks*, §3.1 (the discrete softmax over levels).

    Arguments:
        net: Network z → logits (L, *event).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = Categorical(MLP(2, [], (17, 3)))
        >>> p(torch.zeros(4, 2)).log_prob(torch.full((4, 3), 16.0)).shape
        torch.Size([4])
    """

    kinds = ("levels", "binary")
    robust = True

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        return (spec.levels or 2, *spec.event_shape)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Categorical:
        cls.check(spec)
        return cls(net)

    def forward(self, c: Any = None) -> Distribution:
        logits = self.net(c)
        dims = self.event_dims(c, logits) - 1
        return Independent(
            _Levels(logits=logits.movedim(-dims - 1, -1), validate_args=False), dims, validate_args=False
        )
