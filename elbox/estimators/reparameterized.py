"""The reparameterised estimator."""

from __future__ import annotations

__all__ = ["Reparameterized"]

from torch import Tensor

from elbox import draws
from elbox.estimators.base import Estimate, Estimator
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class Reparameterized(Estimator):
    r"""∇ E_q[f] = E_ε[∇ f(g(ε, x))], the objective differentiated as it stands: SGVB estimator A. Fits every objective.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, eq. 6.

    Raises:
        IncompatibleError: if the posterior has no reparameterised sampler.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> Reparameterized()(recipe.model, torch.ones(3, 5), elbox.IWAE(10)).objective.shape
        torch.Size([3])
    """

    own_draws = True

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.reparameterized

    def check(self, objective: Objective) -> None:
        pass

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        value = objective(terms, progress)
        return Estimate(-value.mean(), value, terms)
