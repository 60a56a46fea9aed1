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
        sees_samples: Whether it looks at codes or reconstructions too, not at log-densities alone.
        needs_density: Whether it needs log q(z|x), which a deterministic code does not have.
        fits_model: Whether prior and likelihood may be trained on it; an upper bound on log p(x) is for the inference
            model alone (`Split`).
    """

    samples: int = 1
    uses_rate: bool = False
    separable: bool = True
    sees_samples: bool = False
    needs_density: bool = True
    fits_model: bool = True

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

    def leave_one_out(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        """For each sample k a stand-in for the objective that does not depend on z_k, [K, B], nats.

        It is the objective of the other samples; `Score` takes it as its baseline.
        """
        return self(terms.leave_one_out(), progress).unflatten(0, terms.log_px.shape)

    @property
    def pair(self) -> tuple[Objective, Objective]:
        """What trains the generative model (prior and likelihood) and what trains the inference model (posterior)."""
        return self, self

    @abstractmethod
    def bound(self) -> Objective:
        """The bound, at full weight, by which a model trained on this objective is selected on held-out data."""
