"""Every prior × likelihood × posterior × objective × estimator: a training step, or an error with a way out."""

from __future__ import annotations

import itertools
import re

import pytest
import torch

from elbox import ELBO, VAE, IncompatibleError
from elbox.estimators import RELAX, AnalyticKL, Enumerated, Path, Relaxed, Reparameterized, Score, StraightThrough
from elbox.estimators.base import Estimator
from elbox.train.step import Step
from tests.components import LATENT, make, of

OBJECTIVES = {
    "plain": lambda: ELBO(samples=2),
    "free bits": lambda: ELBO(free_bits=0.1),
    "free bits per dimension": lambda: ELBO(free_bits=0.1, per_dimension=True),
    "capacity": lambda: ELBO(capacity=1.0),
} | {n: (lambda n=n: make(n)) for n in of("objectives")}
CODES = {
    "posteriors.BernoulliCode": "bits",
    "priors.BernoulliPrior": "bits",
    "posteriors.CategoricalCode": "categories",
    "priors.CategoricalPrior": "categories",
}
WAYS_OUT = ("Reparameterized()", "Path()", "Score()", "AnalyticKL()", "ELBO()", "StandardNormal", "samples=2")


def data_for(likelihood: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return likelihood(torch.randn(3, LATENT)).sample()


@pytest.mark.parametrize("posterior", of("posteriors"))
@pytest.mark.parametrize("prior", [*of("priors"), None])
def test_every_combination(prior: str | None, posterior: str) -> None:
    """Finite loss and gradients, or `IncompatibleError` with a way out; and exactly the refusals that are meant."""
    deterministic = posterior == "posteriors.Deterministic"
    if deterministic != (prior is None):
        with pytest.raises(
            IncompatibleError, match=r"expected prior=None with a Deterministic posterior .*or a prior such as"
        ):
            VAE(prior and make(prior), make("likelihoods.Gaussian"), make(posterior))
        return
    fit = CODES.get(posterior) == CODES.get(prior or "")
    some = of("likelihoods") if fit else of("likelihoods")[:1]  # the rest would be refused in the same words
    for likelihood, goal, how in itertools.product(some, OBJECTIVES, of("estimators")):
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


def refused(prior: str | None, posterior: str, objective: ELBO, estimator: Estimator) -> bool:
    """The rules of the documentation, in one place."""
    deterministic, weights = prior is None, not objective.uses_rate
    codes, per_dimension = CODES.get(posterior), getattr(objective, "per_dimension", False)
    if codes != CODES.get(prior or ""):
        return True
    if codes and isinstance(estimator, Reparameterized | AnalyticKL | Path):
        return True
    if not codes and isinstance(estimator, Enumerated | Relaxed | StraightThrough | RELAX):
        return True
    normal = posterior in ("posteriors.DiagonalNormal", "posteriors.Corrupted") and prior != "priors.NormalMixture"
    if isinstance(estimator, AnalyticKL) and (weights or prior == "priors.NormalMixture"):
        return True
    if isinstance(estimator, Path | Score | RELAX) and not objective.separable:
        return True
    if isinstance(estimator, Enumerated) and weights:
        return True
    if isinstance(estimator, Score) and (objective.samples < estimator.baseline.samples or deterministic):
        return True
    return (deterministic and weights) or (per_dimension and not (normal or codes))


def names_both_and_a_way_out(message: str, objective: ELBO, estimator: Estimator) -> bool:
    """What was got, by name, and something that works, in one sentence."""
    named = {type(objective).__name__, type(estimator).__name__, "posterior", "prior"}
    return (
        any(n in message for n in named)
        and any(w in message for w in WAYS_OUT)
        and re.search(r"; use |\. Use ", message) is not None
        and "\n" not in message
    )
