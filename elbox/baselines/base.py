"""What a baseline is."""

from __future__ import annotations

__all__ = ["Baseline", "Signal"]

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from elbox.objectives import Objective
from elbox.terms import Terms


class Signal(NamedTuple):
    """The weight F − b_k of each ∇ log q(z_k|x), [K, B], nats, without a gradient; the baseline's own loss, or None."""

    weight: Tensor
    loss: Tensor | None = None


class Baseline(nn.Module, ABC):
    """A guess b_k of the objective's value for each sample that does not depend on that sample.

    Attributes:
        samples: How many posterior samples the objective must have at least.
        unbiased: Whether the weight is F − b_k itself.
        bias: What else it is, in words.
    """

    samples: int = 1
    unbiased: bool = True
    bias: str = ""

    @abstractmethod
    def forward(self, objective: Objective, terms: Terms, value: Tensor, progress: Tensor | float) -> Signal:
        """The learning signal of each sample.

        Arguments:
            objective: What is maximised.
            terms: Log-densities of K samples for B examples.
            value: The objective's value F of these terms, [B].
            progress: Fraction of the run that is done.
        """
