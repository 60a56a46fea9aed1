"""The tests of this folder can fail: mistakes seen in other libraries, each found as a bias."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from elbox import ELBO, IWAE, Path, Renyi, Reparameterized, Score, Terms, draws
from elbox.estimators import Estimate, Estimator
from elbox.objectives import Objective
from tests.unbiased import exact
from tests.unbiased.exact import Formula, codes, gradient, nodes, plane
from tests.unbiased.models import batch, model
from tests.unbiased.sampled import agree


class Scaled(Path):
    """Path with another scale than the objective's."""

    def __init__(self, scale: Any) -> None:
        self.scale = scale

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        other = type("Other", (type(objective),), {"path_scale": lambda _, t: self.scale(t)})
        wrong = other(**objective.arguments)
        return super().estimate(wrong, terms, progress)


class UnstoppedDReG(Scaled):
    """DReG's scale without holding the weights of q in log q."""

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.reparameterized


class OwnBaseline(Score):
    """A baseline that depends on the sample itself: the mean of all K."""

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float, x: Any = None) -> Estimate:
        value = objective(terms, progress)
        log_q = sum(g.log_qz for g in terms.groups.values())
        weighted = ((terms.log_w - terms.log_w.mean(0)).detach() * (log_q - log_q.detach())).mean(0)
        return Estimate(-(value + weighted).mean(), value, terms)


class LogWeightScore(Score):
    """Log-weights in the place of the objective, as in REINFORCE for the plain ELBO."""

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float, x: Any = None) -> Estimate:
        value = objective(terms, progress)
        log_q, log_w = sum(g.log_qz for g in terms.groups.values()), terms.log_w.detach()
        others = (log_w.sum(0) - log_w) / (len(log_w) - 1)
        weighted = ((log_w - others) * (log_q - log_q.detach())).mean(0)
        return Estimate(-(value + weighted).mean(), value, terms)


class ScoreWithoutScore(Score):
    """Samples without gradients and no score term: the posterior learns from log q alone."""

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float, x: Any = None) -> Estimate:
        value = objective(terms, progress)
        return Estimate(-value.mean(), value, terms)


class WorstFirst(Reparameterized):
    """The importance softmax over the losses, so that the worst sample gets the most weight; the value looks right."""

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        value = objective(terms, progress)
        weighted = (torch.softmax(-terms.log_w, 0).detach() * terms.log_w).sum(0)
        return Estimate(-(value.detach() + weighted - weighted.detach()).mean(), value, terms)


class MeanOverPixels(Reparameterized):
    """A reconstruction term that is weighed down, with the right value."""

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        value = objective(terms, progress)
        light = terms.log_px.mean(0) / 3 - terms.rate
        return Estimate(-(value.detach() + light - light.detach()).mean(), value, terms)


def softmax(terms: Terms) -> Tensor:
    return torch.softmax(terms.log_w, 0)


def ones(terms: Terms) -> Tensor:
    return torch.ones_like(terms.log_px)


WRONG: dict[str, tuple[Estimator, Objective, Formula]] = {
    "sticking the landing used with IWAE": (Scaled(ones), IWAE(2), exact.renyi(0.0, 2)),
    "DReG used with the ELBO": (Scaled(softmax), ELBO(samples=2), exact.elbo()),
    "DReG used with Renyi": (Scaled(softmax), Renyi(0.5, 2), exact.renyi(0.5, 2)),
    "DReG with squared weights once more": (Scaled(lambda t: softmax(t) ** 2), IWAE(2), exact.renyi(0.0, 2)),
    "DReG without stopping q": (UnstoppedDReG(softmax), IWAE(2), exact.renyi(0.0, 2)),
    "a baseline that contains the sample": (OwnBaseline(), ELBO(samples=2), exact.elbo()),
    "the log-weight score with β": (LogWeightScore(), ELBO(beta=0.4, samples=2), exact.elbo(0.4)),
    "the log-weight score with IWAE": (LogWeightScore(), IWAE(2), exact.renyi(0.0, 2)),
    "no score at all": (ScoreWithoutScore(), ELBO(samples=2), exact.elbo()),
    "the softmax of the losses": (WorstFirst(), IWAE(2), exact.renyi(0.0, 2)),
    "a mean over pixels": (MeanOverPixels(), ELBO(samples=2), exact.elbo()),
    "another β": (Reparameterized(), ELBO(beta=0.8, samples=2), exact.elbo()),
    "another α": (Path(), Renyi(0.0, 2), exact.renyi(0.5, 2)),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistake_is_found(name: str) -> None:
    """`agree` fails, and says that the gradient is off, not that it could not see."""
    estimator, objective, formula = WRONG[name]
    vae = model("DiagonalNormal", "LearnedNormal")
    right = gradient(vae, exact.mean(formula, nodes(vae, batch(), plane())))
    with pytest.raises(AssertionError, match="standard errors away"):
        agree(right, estimator, vae, objective, batch())


@pytest.mark.parametrize("wrong", [OwnBaseline(), ScoreWithoutScore()], ids=["own baseline", "no score"])
def test_mistake_with_discrete_codes_is_found(wrong: Estimator) -> None:
    vae = model("Coins", "Coins", latent=3)
    right = gradient(vae, exact.mean(exact.elbo(), nodes(vae, batch(), codes(3))))
    with pytest.raises(AssertionError, match="standard errors away"):
        agree(right, wrong, vae, ELBO(samples=2), batch())


def test_sound_estimators_pass_the_same_test() -> None:
    vae = model("DiagonalNormal", "LearnedNormal")
    right = gradient(vae, exact.mean(exact.renyi(0.0, 2), nodes(vae, batch(), plane())))
    for estimator in (Path(), Scaled(softmax), Reparameterized(), Score()):
        agree(right, estimator, vae, IWAE(2), batch())


def test_value_that_is_not_minus_the_objective_is_found() -> None:
    class Doubled(Reparameterized):
        def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
            loss, value, terms = super().estimate(objective, terms, progress)
            return Estimate(2 * loss, value, terms)

    vae = model()
    right = gradient(vae, exact.mean(exact.elbo(), nodes(vae, batch(), plane())))
    with pytest.raises(AssertionError, match="not close"):
        agree(right, Doubled(), vae, ELBO(samples=2), batch())
