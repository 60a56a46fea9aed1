"""Relaxed codes: a continuous neighbour of the model is trained instead."""

from __future__ import annotations

__all__ = ["Relaxed"]

from typing import Any

import torch
from torch import Tensor, nn

from elbox import draws
from elbox.estimators.base import Estimate, Estimator
from elbox.estimators.codes import Encoded
from elbox.objectives import Objective
from elbox.parts import part
from elbox.schedules import Schedule, check_weight, value_at
from elbox.terms import Terms


@part
class Relaxed(Estimator):
    r"""The Concrete, or Gumbel-softmax, relaxation: z = σ(ζ/λ) or softmax(ζ/λ), ζ = logits + noise, reparameterised.

    Biased: it is the gradient of the objective of the relaxed code, which goes to that of the discrete code as the
    temperature λ goes to 0, while its variance grows without bound. Log-probabilities, linear in z, are taken at the
    relaxed code; where the objective sees only the rate, that is in closed form, of the discrete code, if there is one.

    What is optimised is the returned `objective`; the returned `terms`, hence all that is logged as a bound, are of
    discrete codes, and so is every evaluation.

    Reference: Maddison, Mnih & Teh (2017), *The concrete distribution*, §3; Jang, Gu & Poole (2017), *Categorical
    reparameterization with Gumbel-softmax*, eq. 2 and §2.1.

    Arguments:
        temperature: λ > 0, a number or a `Schedule`.

    Raises:
        SettingError: if the temperature is not positive.
        IncompatibleError: if the posterior is not over discrete codes.

    Example:
        >>> import torch, elbox
        >>> from elbox.nn import MLP
        >>> model = elbox.VAE(elbox.priors.BernoulliPrior(3), elbox.likelihoods.Bernoulli(MLP(3, [], 5)),
        ...                   elbox.posteriors.BernoulliCode(MLP(5, [], 3), 3))
        >>> estimate = Relaxed(0.5)(model, torch.ones(2, 5), elbox.ELBO())
        >>> bool(((estimate.terms.groups["z"].z == 0) | (estimate.terms.groups["z"].z == 1)).all())
        True
    """

    unbiased = False
    bias = "the gradient of the relaxed code's objective; the bias falls with the temperature"

    def __init__(self, temperature: float | Schedule = 0.5) -> None:
        check_weight("temperature", temperature, positive=True)
        self.temperature = temperature

    @property
    def draw(self) -> draws.DrawFunction:
        return _draw(Encoded("Relaxed"), value_at(self.temperature, 1.0))

    def check(self, objective: Objective) -> None:
        pass

    def once(self, model: nn.Module, x: Tensor, objective: Objective, c: Any, progress: Tensor | float) -> Estimate:
        encoded = Encoded("Relaxed")
        draw = _draw(encoded, value_at(self.temperature, progress))
        soft: Terms = model.terms(x, objective.samples, c=c, draw=draw)  # type: ignore[operator]
        with torch.no_grad():
            hard: Terms = model.terms(x, objective.samples, c=soft.c, draw=_hard(encoded))  # type: ignore[operator]
        return self.estimate(objective, soft, progress)._replace(terms=hard)

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        value = objective(terms.with_kl() if objective.uses_rate else terms, progress)
        return Estimate(-value.mean(), value, terms)


def _draw(encoded: Encoded, temperature: Tensor | float) -> draws.DrawFunction:
    def soft(posterior: nn.Module, context: Any, samples: int) -> draws.Draw:
        q = encoded(posterior, context)
        z = q.soften(q.noisy((samples,)), temperature)
        return draws.Draw(z, q.log_prob(z), q)

    return soft


def _hard(encoded: Encoded) -> draws.DrawFunction:
    def hard(posterior: nn.Module, context: Any, samples: int) -> draws.Draw:
        q = encoded(posterior, context)
        z = q.sample((samples,))
        return draws.Draw(z, q.log_prob(z), q)

    return hard
