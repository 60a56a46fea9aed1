"""Monte-Carlo EM: the posterior is sampled by Hamiltonian Monte Carlo."""

from __future__ import annotations

__all__ = ["MonteCarloEM"]

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from elbox import draws
from elbox.distributions import VonMises
from elbox.distributions.support import family, real, support
from elbox.errors import IncompatibleError, SettingError, check_number, check_whole
from elbox.estimators.base import FITS_ALL, Estimate, Estimator
from elbox.estimators.wake_sleep import one_group
from elbox.hmc import adapted, field_of, hmc
from elbox.objectives import Objective
from elbox.parts import part
from elbox.players import aside
from elbox.terms import Terms


@part
class MonteCarloEM(Estimator, nn.Module):
    r"""∇θ log p(x) = E_{p(z|x)}[∇θ log p(x, z)], with z from a chain of Hamiltonian Monte Carlo for each example.

    The chain of an example starts at a draw of q(z|x) and makes `transitions` transitions of `leapfrogs` steps each,
    with ∇_z log p(z) + ∇_z log p(x|z). Its end z̃ is what both players learn from:

    - θ, of prior and likelihood, follows ∇θ log p(x, z̃): unbiased for ∇θ log p(x) where the chain has forgotten its
      start, and otherwise between that and wake–sleep's;
    - φ, of the posterior, follows ∇φ log q(z̃|x), the gradient of −KL(p(z|x) ‖ q(z|x)): a better start for the next
      chain, and what the model is evaluated with. Kingma & Welling have no such network; no gradient of θ comes of it.

    So neither gradient is the objective's, whose value, of the chains' starts, is only reported: it is a true bound.
    The step size ε is adapted so that the chains accept at the given rate; both are logged, as `step_size` and
    `acceptance`.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, appendix E (10 leapfrog steps, accepted at
    90 %, there followed by 5 updates of the weights, here by one); Wei & Tanner (1990), *A Monte Carlo implementation
    of the EM algorithm*.

    Arguments:
        leapfrogs: Leapfrog steps of one transition.
        transitions: Transitions for each batch.
        acceptance: Rate of acceptance that the step size aims at, in (0, 1).
        step: Step size at the start, in units of z.

    Raises:
        SettingError: if a number is out of range.
        IncompatibleError: if the objective is no bound at full weight, or there are several groups of latent variables,
            or other ones than real numbers and angles.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> em = MonteCarloEM()
        >>> em(recipe.model, torch.ones(3, 5), elbox.ELBO()).objective.shape, sorted(em.logs())
        (torch.Size([3]), ['acceptance', 'step_size'])
    """

    unbiased = False
    players = 2
    bias = "prior and likelihood follow log p(x), as far as the chains have mixed; the posterior follows the chains"
    robust = False  # rounding log p(x, z) by a tenth of a nat would decide what is accepted
    log_step: Tensor
    accepted: Tensor

    def __init__(self, leapfrogs: int = 10, transitions: int = 1, acceptance: float = 0.9, step: float = 0.1) -> None:
        super().__init__()
        check_whole("leapfrogs", leapfrogs)
        check_whole("transitions", transitions)
        check_number("step", step, positive=True)
        if not 0 < acceptance < 1:
            raise SettingError(f"got acceptance={acceptance}; expected a rate between 0 and 1, neither included")
        self.leapfrogs, self.transitions, self.acceptance = leapfrogs, transitions, acceptance
        self.register_buffer("log_step", torch.tensor(math.log(step)))
        self.register_buffer("accepted", torch.tensor(acceptance))

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.score

    def check(self, objective: Objective) -> None:
        if not (objective.separable and objective.needs_density and _full_weight(objective)):
            raise IncompatibleError(
                f"MonteCarloEM climbs log p(x) itself, and this {type(objective).__name__} is no bound on it at full "
                f"weight; use ELBO(), or {FITS_ALL}"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        group = one_group(terms, "MonteCarloEM samples")
        prior, decode, x = group.prior, terms.decode, terms.x
        assert prior is not None
        _check_real(prior)
        value = objective(terms, progress).detach()
        assert decode is not None
        assert x is not None

        def log_joint(z: Tensor) -> Tensor:
            return decode(z).log_prob(x) + prior.log_prob(z)

        chains = hmc(field_of(log_joint), group.z, self.log_step.exp(), self.leapfrogs, self.transitions)
        self._adapt(chains.acceptance.mean())
        of_model, of_posterior = -log_joint(chains.z).mean(), -group.posterior.log_prob(chains.z).mean()
        return Estimate(-value.mean() + aside(of_model) + aside(of_posterior), value, terms)

    @torch.no_grad()
    def _adapt(self, acceptance: Tensor) -> None:
        if self.training:
            self.accepted.copy_(acceptance)
            self.log_step.copy_(adapted(self.log_step, acceptance, self.acceptance))

    def logs(self) -> dict[str, Tensor]:
        """The rate of acceptance of the last batch, and the step size for the next."""
        return {"acceptance": self.accepted, "step_size": self.log_step.exp()}


def _check_real(prior: Distribution) -> None:
    """Chains know no edges. Round a circle they may go: there all densities are periodic."""
    if not (real(prior) or isinstance(family(prior), VonMises)):
        raise IncompatibleError(
            f"MonteCarloEM moves through real latent variables, got a prior over {support(prior) or 'discrete codes'}; "
            "use WakeSleep(), or a DiagonalNormal posterior with a StandardNormal prior"
        )


def _full_weight(objective: Objective) -> bool:
    """Whether it is itself the bound by which a model trained on it is selected: no weight, no schedule."""
    bound = objective.bound()
    return type(bound) is type(objective) and vars(bound) == vars(objective)
