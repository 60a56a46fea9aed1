"""The covariance estimator of the thermodynamic objective."""

from __future__ import annotations

__all__ = ["Covariance"]

import torch
from torch import Tensor

from elbox import draws
from elbox.errors import IncompatibleError
from elbox.estimators.base import Estimate, Estimator
from elbox.objectives import TVO, Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class Covariance(Estimator):
    r"""∇ E_π[f] = E_π[∇f] + Cov_π[∇ log π̃, f], f = log w, π̃ = p(x, z)^β q(z|x)^{1−β}, from self-normalised weights.

    It needs no reparameterisation, so it works for discrete latents, and its baseline, the weighted mean of f, makes
    it less noisy than the plain score function. At the K samples with weights ŵ = softmax(β f) it is the derivative of
    Σ_k ŵ_k f_k at fixed z plus Σ_k ŵ_k (f_k − Σ_j ŵ_j f_j) ∇ log q(z_k|x).

    Biased: it estimates the limit K → ∞ with an error of O(1/K), because the weights are normalised by their own
    sum and the baseline contains the sample itself. With one interval, the ELBO, the inference model's gradient is
    exactly (K − 1)/K of the true one. `Score` and `Path` are unbiased for the value at this K.

    Reference: Masrani, Le & Wood (2019), *The thermodynamic variational objective*, §4.

    Raises:
        IncompatibleError: if the objective is not `TVO`, or has fewer than 2 samples.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> Covariance()(recipe.model, torch.ones(3, 5), elbox.objectives.TVO(samples=8)).loss.shape
        torch.Size([])
    """

    unbiased = False
    bias = "self-normalised weights: an error of O(1/K)"

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.score

    def check(self, objective: Objective) -> None:
        for player in objective.pair:
            if not isinstance(player, TVO):
                raise IncompatibleError(
                    f"Covariance is the estimator of the thermodynamic objective, got {type(player).__name__}; use "
                    "Covariance() with TVO()"
                )
        if objective.samples < 2:
            raise IncompatibleError(
                f"Covariance compares samples with each other, got {type(objective).__name__} with samples="
                f"{objective.samples}; use samples=2 or more"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        assert isinstance(objective, TVO)  # or `check` would have refused it
        value = objective(terms, progress)
        log_q = torch.stack([group.log_qz for group in terms.groups.values()]).sum(0)
        weighted = (objective.covariance(terms).detach() * (log_q - log_q.detach())).sum(0)  # value 0
        return Estimate(-(value + weighted).mean(), value, terms)
