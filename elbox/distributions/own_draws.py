"""Distributions whose density is known of their own draws alone."""

from __future__ import annotations

__all__ = ["OwnDraws"]

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from elbox.errors import IncompatibleError


class OwnDraws(Distribution):
    r"""Base of the distributions of z that are margins of a joint density q(z, u) = q(z) q(u|z).

    q(z) itself is not known, but with any density r(u|z) each draw (z, u) comes with

        log q(z, u) − log r(u|z),

    whose mean is at least that of log q(z). So Σ log p(x, z) − that is a bound on log p(x), and importance weights
    made of it are unbiased for p(x): those of the joint densities p(x, z) r(u|z) and q(z, u).

    Reference: Agakov & Barber (2004), *An auxiliary variational method*.

    A subclass defines `rsample_and_log_prob`, which returns z and that number; by name what zuko's flows have.

    Arguments:
        who: What z is drawn from, for messages.
        batch_shape: Shape of the batch.
        event_shape: Shape of z.
    """

    has_rsample = True
    arg_constraints: dict[str, Any] = {}
    support = constraints.real_vector

    def __init__(self, who: str, batch_shape: torch.Size, event_shape: torch.Size) -> None:
        super().__init__(batch_shape, event_shape, validate_args=False)
        self.who = who

    @abstractmethod
    def rsample_and_log_prob(self, sample_shape: _size = torch.Size()) -> tuple[Tensor, Tensor]:  # noqa: B008
        """z [*sample_shape, *batch_shape, *event_shape] and log q(z, u) − log r(u|z)."""

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.rsample_and_log_prob(sample_shape)[0]

    def log_prob(self, value: Tensor) -> Tensor:
        """No number.

        Raises:
            IncompatibleError: with what works.
        """
        raise IncompatibleError(
            f"got codes to be scored by {self.who}, a posterior that knows the density of its own draws alone; use "
            "Reparameterized()"
        )
