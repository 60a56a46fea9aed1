"""Every prior × likelihood × posterior × objective × estimator: a training step, or an error with a way out."""

from __future__ import annotations

import itertools
import re

import pytest
import torch

from elbox import ELBO, VAE, IncompatibleError
from elbox.estimators import AnalyticKL, BayesianWeights, MonteCarloEM, Path, Score, WakeSleep
from elbox.train.step import Step
from tests.components import LATENT, make, of

OBJECTIVES = {
    "plain": lambda: ELBO(samples=2),
    "free bits": lambda: ELBO(free_bits=0.1),
    "free bits per dimension": lambda: ELBO(free_bits=0.1, per_dimension=True),
    "capacity": lambda: ELBO(capacity=1.0),
} | {n: (lambda n=n: make(n)) for n in of("objectives")}
WAYS_OUT = (
    "Reparameterized()",
    "Path()",
    "Score()",
    "AnalyticKL()",
    "ELBO()",
    "Distortion()",
    "StandardNormal",
    "samples=2",
)


def data_for(likelihood: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return likelihood(torch.randn(3, LATENT)).sample()


@pytest.mark.parametrize("posterior", of("posteriors"))
@pytest.mark.parametrize("prior", [*of("priors"), None])
def test_every_combination(prior: str | None, posterior: str) -> None:
    """Finite loss and gradients, or `IncompatibleError` with a way out; and exactly the refusals that are meant."""
    deterministic = posterior == "posteriors.Deterministic"
    if prior is None and not deterministic:
        with pytest.raises(
            IncompatibleError, match=r"expected a prior such as .*, or prior=None with a Deterministic posterior"
        ):
            VAE(None, make("likelihoods.Gaussian"), make(posterior))
        return
    for likelihood, goal, how in itertools.product(of("likelihoods"), OBJECTIVES, of("estimators")):
        model, objective, estimator = (
            VAE(prior and make(prior), make(likelihood), make(posterior)),
            OBJECTIVES[goal](),
            make(how),
        )
        step, x = Step(model, objective, estimator), data_for(model.likelihood)
        if refused(prior, posterior, objective, estimator):
            with pytest.raises(IncompatibleError) as error:
                step(x)
            assert names_both_and_a_way_out(str(error.value), objective, estimator), str(error.value)
            continue
        loss, _ = step(x)
        loss.backward()
        assert loss.isfinite(), (likelihood, goal, how)
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters()), (likelihood, goal, how)


def refused(prior: str | None, posterior: str, objective: ELBO, estimator: AnalyticKL | Path | Score) -> bool:
    """The rules of the documentation, in one place."""
    deterministic, weights = posterior == "posteriors.Deterministic", not objective.uses_rate
    per_dimension = getattr(objective, "per_dimension", False)
    diagonal = ("posteriors.DiagonalNormal", "posteriors.Corrupted", "posteriors.LocalNormal")
    factorises = posterior in diagonal and prior != "priors.NormalMixture"
    if deterministic and objective.needs_density:
        return True
    if isinstance(estimator, AnalyticKL) and (weights or (prior == "priors.NormalMixture" and not deterministic)):
        return True
    if isinstance(estimator, Path | Score) and not objective.separable:
        return True
    if isinstance(estimator, BayesianWeights):
        return True  # no model here has random weights
    if isinstance(estimator, WakeSleep | MonteCarloEM) and not (objective.separable and objective.needs_density):
        return True
    if isinstance(estimator, WakeSleep) and estimator.wake and objective.samples < 2:
        return True
    if isinstance(estimator, MonteCarloEM) and objective.arguments != objective.bound().arguments:
        return True
    if isinstance(estimator, Score) and (objective.samples < 2 or deterministic):
        return True
    return per_dimension and not factorises


def names_both_and_a_way_out(message: str, objective: ELBO, estimator: AnalyticKL | Path | Score) -> bool:
    """What was got, by name, and something that works, in one sentence."""
    named = {type(objective).__name__, type(estimator).__name__, "posterior", "prior"}
    return (
        any(n in message for n in named)
        and any(w in message for w in WAYS_OUT)
        and re.search(r"; use |\. Use ", message) is not None
        and "\n" not in message
    )
