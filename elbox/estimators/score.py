"""The score-function estimator, for posteriors that cannot be reparameterised."""

from __future__ import annotations

__all__ = ["Score"]

import torch
from torch import Tensor

from elbox import draws
from elbox.errors import IncompatibleError
from elbox.estimators.base import Estimate, Estimator
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class Score(Estimator):
    r"""∇ E_q[F] = E_q[ Σ_k (F − F_{−k}) ∇ log q(z_k|x) + ∇F ], F_{−k} the same objective without sample k.

    The leave-one-out value does not depend on z_k, so it is a baseline that leaves the estimate unbiased. For the ELBO
    this is REINFORCE with the mean of the other samples as baseline; for IWAE it is VIMCO with another stand-in for
    the sample left out. Works for discrete latents.

    Reference: Williams (1992), *Simple statistical gradient-following algorithms*, §4; Mnih & Rezende (2016),
    *Variational inference for Monte Carlo objectives*, eq. 10; Kool et al. (2019), *Buy 4 REINFORCE samples, get a
    baseline for free!*

    Raises:
        IncompatibleError: if the objective is not separable or has fewer than 2 samples.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> Score()(recipe.model, torch.ones(3, 5), elbox.ELBO(samples=8)).loss.shape
        torch.Size([])
    """

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.score

    def check(self, objective: Objective) -> None:
        name = type(objective).__name__
        if not objective.separable:
            raise IncompatibleError(
                f"Score needs an objective of each example alone, and {name} with free bits, a capacity or penalties "
                "is not; use AnalyticKL() or Reparameterized()"
            )
        if objective.samples < 2:
            raise IncompatibleError(
                f"Score takes the other samples as its baseline, got {name} with samples={objective.samples}; "
                f"use samples=2 or more, or Reparameterized()"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        value = objective(terms, progress)  # F, [B]
        with torch.no_grad():
            others = objective.leave_one_out(terms, progress)  # F_{-k}, [K, B]
        log_q = torch.stack([group.log_qz for group in terms.groups.values()]).sum(0)
        weighted = ((value.detach() - others) * (log_q - log_q.detach())).sum(0)  # value 0, gradient of the score
        return Estimate(-(value + weighted).mean(), value, terms)
