"""The estimator with the rate in closed form."""

from __future__ import annotations

__all__ = ["AnalyticKL"]

from torch import Tensor

from elbox import draws
from elbox.errors import IncompatibleError
from elbox.estimators.base import Estimate, Estimator
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class AnalyticKL(Estimator):
    r"""Reparameterised distortion, KL(q(z|x) ‖ p(z)) in closed form: SGVB estimator B, less noisy than A.

    Fits objectives that see the latent variables only through the rate, and pairs of posterior and prior with a
    closed-form KL.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, eq. 7 and appendix B.

    Raises:
        IncompatibleError: if the objective needs importance weights, or no closed form is known.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> AnalyticKL()(recipe.model, torch.ones(3, 5), elbox.ELBO()).loss.shape
        torch.Size([])
    """

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.reparameterized

    def check(self, objective: Objective) -> None:
        if not objective.uses_rate:
            way_out = "Reparameterized()" + (", or AnalyticKL() with ELBO()" if objective.separable else "")
            raise IncompatibleError(
                f"AnalyticKL needs an objective of the rate, and {type(objective).__name__} is none; use {way_out}"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        exact = terms.with_kl()
        for group in exact.groups.values():
            if group.has_rate and group.kl is None:
                q, p = type(group.posterior).__name__, type(group.prior).__name__
                raise IncompatibleError(
                    f"AnalyticKL needs a closed-form KL(posterior ‖ prior), and there is none for the distributions "
                    f"({q}, {p}); use Reparameterized(), or a DiagonalNormal posterior with a StandardNormal prior"
                )
        value = objective(exact, progress)
        return Estimate(-value.mean(), value, exact)
