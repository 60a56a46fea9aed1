"""What an objective is, and what it declares so that estimators can tell whether they fit it."""

from __future__ import annotations

__all__ = ["Objective"]

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from elbox.terms import Terms


class Objective(ABC):
    r"""A function of `Terms`, in nats; training maximises its mean over the batch.

    Subclasses implement `__call__` and, where the path-derivative estimator is right for them, `path_scale`.

    Attributes:
        samples: Number K of posterior samples for each example.
        uses_rate: Whether it sees the latent variables only through the rate, so that a closed-form KL may stand in for
            samples of log q(z|x) − log p(z) (`AnalyticKL`).
        separable: Whether it is, for each example alone, a smooth function of the log-densities, so that `Path` and
            `Score` may treat examples and samples one by one.
        needs_density: Whether it needs log q(z|x), which a deterministic code does not have.
    """

    samples: int = 1
    uses_rate: bool = False
    separable: bool = True
    needs_density: bool = True

    @abstractmethod
    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        """The objective of each example.

        Arguments:
            terms: Log-densities of K samples for B examples.
            progress: Fraction of the run that is done, for schedules; 1 is the end of the run.

        Returns:
            [B], nats.
        """

    def path_scale(self, terms: Terms) -> Tensor:
        """The factor [K, B] on z's gradient that makes the path-derivative estimator unbiased for this objective."""
        return torch.ones_like(terms.log_px)

    @abstractmethod
    def bound(self) -> Objective:
        """The bound, at full weight, by which a model trained on this objective is selected on held-out data."""
