"""The score-function estimator, for posteriors that cannot be reparameterised."""

from __future__ import annotations

__all__ = ["NVIL", "Score", "VIMCO"]


from typing import Any

import torch
from torch import Tensor, nn

from elbox import draws
from elbox.baselines import Baseline, InputDependent, LeaveOneOut, StandIn
from elbox.errors import IncompatibleError
from elbox.estimators.base import FITS_ALL, Estimate, Estimator, trains_posterior
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class Score(Estimator, nn.Module):
    r"""∇ E_q[F] = E_q[ Σ_k (F − b_k) ∇ log q(z_k|x) + ∇F ], with a baseline b_k that does not depend on z_k.

    By default b_k = F_{−k}, the same objective without sample k: REINFORCE with the mean of the other samples as
    baseline for the ELBO; for IWAE, VIMCO with the arithmetic mean as stand-in for the sample left out. Works for
    discrete latents.

    Reference: Williams (1992), *Simple statistical gradient-following algorithms*, §4; Mnih & Rezende (2016),
    *Variational inference for Monte Carlo objectives*, eq. 10; Kool et al. (2019), *Buy 4 REINFORCE samples, get a
    baseline for free!*

    Arguments:
        baseline: Where b_k comes from (`elbox.baselines`); None for `LeaveOneOut`.

    Raises:
        IncompatibleError: if the objective is not separable or has too few samples for the baseline.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> Score()(recipe.model, torch.ones(3, 5), elbox.ELBO(samples=8)).loss.shape
        torch.Size([])
    """

    def __init__(self, baseline: Baseline | None = None) -> None:
        super().__init__()
        self.baseline = LeaveOneOut() if baseline is None else baseline
        self.unbiased, self.bias = self.baseline.unbiased, self.baseline.bias

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.score

    def check(self, objective: Objective) -> None:
        name = type(objective).__name__
        if not objective.separable:
            raise IncompatibleError(
                f"Score needs an objective of each example alone, and this {name} is not; use {FITS_ALL}"
            )
        if objective.samples < self.baseline.samples:
            raise IncompatibleError(
                f"Score takes the other samples as its baseline, got {name} with samples={objective.samples}; "
                "use samples=2 or more, or Score(MovingAverage()), which needs no others"
            )

    def forward(self, *args: Any, **kwargs: Any) -> Estimate:  # torch.compile enters a module there
        return Estimator.__call__(self, *args, **kwargs)

    __call__ = forward

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        value = objective(terms, progress)  # F, [B]
        if not trains_posterior(terms):  # nothing to be weighed, and nothing of the baseline's
            return Estimate(-value.mean(), value, terms)
        signal = self.baseline(objective, terms, value, progress)
        log_q = torch.stack([group.log_qz for group in terms.groups.values()]).sum(0)
        weighted = (signal.weight * (log_q - log_q.detach())).sum(0)  # value 0, gradient of the score
        loss = -(value + weighted).mean()
        if signal.loss is not None:  # for the baseline alone, and of value 0
            loss = loss + (signal.loss - signal.loss.detach())
        return Estimate(loss, value, terms)


def VIMCO(*, arithmetic: bool = False) -> Score:  # noqa: N802 (the field's name for it)
    r"""`Score` with VIMCO's baseline: the objective with w_k replaced by a mean of the other weights.

        b_k = log 1/K (Σ_{j≠k} w_j + ŵ_k),      log ŵ_k = 1/(K−1) Σ_{j≠k} log w_j.

    With the arithmetic mean, b_k is the importance-weighted bound of the other samples, `LeaveOneOut`.

    Reference: Mnih & Rezende (2016), *Variational inference for Monte Carlo objectives*, the section on localised
    learning signals.

    Arguments:
        arithmetic: Take the arithmetic mean instead of the geometric one.

    Example:
        >>> import elbox
        >>> type(VIMCO().baseline).__name__, type(VIMCO(arithmetic=True).baseline).__name__
        ('StandIn', 'LeaveOneOut')
    """
    return Score(LeaveOneOut() if arithmetic else StandIn())


def NVIL(net: nn.Module, decay: float = 0.8, *, normalize: bool = False) -> Score:  # noqa: N802 (likewise)
    r"""`Score` with NVIL's baseline: b = C(x) + c, a network of the input and a moving average.

    Reference: Mnih & Gregor (2014), *Neural variational inference and learning in belief networks*, §2.3.1 and 2.3.2.

    Arguments:
        net: Network C, [B, *event] → [B, 1], trained with the model but on its own loss.
        decay: Of the moving averages, in [0, 1).
        normalize: Divide the signal by its running standard deviation where that exceeds 1 nat; the gradient of the
            posterior is then that much shorter.

    Example:
        >>> import torch, elbox
        >>> from elbox.nn import MLP
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> NVIL(MLP(5, [100], 1))(recipe.model, torch.ones(3, 5), elbox.ELBO()).loss.shape
        torch.Size([])
    """
    return Score(InputDependent(net, decay, normalize=normalize))
