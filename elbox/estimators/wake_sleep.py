"""Wake–sleep and reweighted wake–sleep: model and posterior are two players, each with a loss of its own."""

from __future__ import annotations

__all__ = ["ReweightedWakeSleep", "WakeSleep"]

from dataclasses import replace

import torch
from torch import Tensor

from elbox import draws
from elbox.errors import IncompatibleError, SettingError, check_number
from elbox.estimators.base import FITS_ALL, Estimate, Estimator, trains_posterior
from elbox.objectives import Objective
from elbox.parts import part
from elbox.players import aside
from elbox.terms import Group, Terms


@part
class WakeSleep(Estimator):
    r"""∇θ of the objective at samples of q, and for q the gradients of KL(p(z|x) ‖ q(z|x)), awake or asleep.

    - θ, of prior and likelihood: the objective's own gradient with z_k ~ q(z|x) as constants. For the ELBO that is
      E_q[∇θ log p(x, z)], wake–sleep's wake phase; for IWAE Σ_k ŵ_k ∇θ log p(x, z_k), ŵ = softmax_k(log w).
    - φ, of the posterior, asleep: E_{p(x, z)}[∇φ log q(z|x)], examples and codes dreamt by the model.
    - φ awake: Σ_k ŵ_k ∇φ log q(z_k|x) at the data, importance weights held fixed: needs K ≥ 2.

    The gradient of θ is unbiased; that of φ is *not* one of the objective. Asleep it is unbiased for
    −E_{p(x)} KL(p(z|x) ‖ q(z|x)), awake it is one for −KL(p(z|x) ‖ q(z|x)) at the data with a bias that vanishes as
    1/K. Neither reaches the other's parameters; nothing is reparameterised, so that discrete codes will do.

    Reference: Hinton et al. (1995), *The wake-sleep algorithm for unsupervised neural networks*; Bornschein & Bengio
    (2015), *Reweighted wake-sleep*, §2 (its wake- and sleep-phase updates of q).

    Arguments:
        wake: Weight ≥ 0 of the update of q awake.
        sleep: Weight ≥ 0 of the update of q asleep.

    Raises:
        SettingError: if a weight is negative, or both are 0.
        IncompatibleError: if the objective is none of log-densities alone, the posterior has no density, or there are
            several groups of latent variables to dream.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> WakeSleep()(recipe.model, torch.ones(3, 5), elbox.ELBO()).objective.shape
        torch.Size([3])
    """

    unbiased = False
    players = 2
    bias = "the posterior follows the reverse KL, not the objective"

    def __init__(self, wake: float = 0.0, sleep: float = 1.0) -> None:
        check_number("wake", wake)
        check_number("sleep", sleep)
        if wake + sleep == 0:
            raise SettingError("got wake=0, sleep=0; expected one of them to be > 0")
        self.wake, self.sleep = wake, sleep

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.score

    def check(self, objective: Objective) -> None:
        name = type(objective).__name__
        if not (objective.separable and objective.needs_density):
            raise IncompatibleError(
                f"WakeSleep needs a bound of each example's log-densities, and this {name} is none; use "
                f"ELBO(samples=2), or {FITS_ALL}"
            )
        if self.wake and objective.samples < 2:
            raise IncompatibleError(
                f"WakeSleep(wake={self.wake}) weighs samples against each other, got {name} with "
                f"samples={objective.samples}; use samples=2 or more, or WakeSleep()"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        held = {name: replace(g, log_qz=g.log_qz.detach()) for name, g in terms.groups.items()}
        value = objective(replace(terms, groups=held), progress)
        if not trains_posterior(terms):
            return Estimate(-value.mean(), value, terms)
        of_posterior = torch.zeros_like(value.mean())
        if self.wake:
            of_posterior = of_posterior + self.wake * _awake(terms)
        if self.sleep:
            of_posterior = of_posterior + self.sleep * _asleep(terms)
        return Estimate(-value.mean() + aside(of_posterior), value, terms)


def ReweightedWakeSleep(wake: float = 0.5, sleep: float = 0.5) -> WakeSleep:  # noqa: N802 (the field's name for it)
    r"""`WakeSleep` with q updated awake by importance weights, and asleep: the mean of both, ½ (wake + sleep).

    With `IWAE(K)` as objective, θ follows Σ_k ŵ_k ∇θ log p(x, z_k), the gradient of log (1/K) Σ_k w_k.

    Reference: Bornschein & Bengio (2015), *Reweighted wake-sleep*, §2.

    Arguments:
        wake: Weight ≥ 0 of the update of q awake.
        sleep: Weight ≥ 0 of the update of q asleep.

    Example:
        >>> ReweightedWakeSleep().arguments
        {'wake': 0.5, 'sleep': 0.5}
    """
    return WakeSleep(wake, sleep)


def _awake(terms: Terms) -> Tensor:
    """−Σ_k ŵ_k log q(z_k|x), weights and samples as constants; the mean over the batch, []."""
    weight = torch.softmax(terms.log_w.detach(), 0)
    log_q = torch.stack([group.log_qz for group in terms.groups.values()]).sum(0)
    return -(weight * log_q).sum(0).mean()


def _asleep(terms: Terms) -> Tensor:
    """−log q(z|x) of codes z ~ p(z) and examples x ~ p(x|z); the mean over as many as the batch has, []."""
    group = one_group(terms, "WakeSleep dreams")
    assert group.prior is not None
    assert terms.x is not None
    assert terms.encode is not None
    assert terms.decode is not None
    conditional = bool(group.prior.batch_shape)
    with torch.no_grad():
        z = group.prior.sample() if conditional else group.prior.sample(terms.x.shape[:1])
        x = terms.decode(z).sample().to(terms.x.dtype)
    return -terms.encode(x).log_prob(z).mean()


def one_group(terms: Terms, who: str) -> Group:
    """The only group of latent variables."""
    groups = list(terms.groups.values())
    if len(groups) > 1:
        raise IncompatibleError(
            f"{who} one group of latent variables, got {len(groups)}; use Reparameterized(), or "
            "WakeSleep(wake=1.0, sleep=0.0) with IWAE(5)"
        )
    return groups[0]
