"""Every combination of the axes: a training step, or an error with a way out."""

from __future__ import annotations

import itertools
import re

import pytest
import torch

from elbox import ELBO, VAE, IncompatibleError
from elbox.estimators import (
    RELAX,
    AnalyticKL,
    BayesianWeights,
    Covariance,
    Enumerated,
    MonteCarloEM,
    Path,
    Relaxed,
    Reparameterized,
    Score,
    StraightThrough,
    WakeSleep,
)
from elbox.estimators.base import Estimator
from elbox.objectives import TVO, Contractive, InferredPrior, Objective, TotalCorrelation
from elbox.train.step import Step
from tests.components import FEATURES, LATENT, event_of, make, of
from tests.components import objective as make_objective

OBJECTIVES = {
    "plain": lambda: ELBO(samples=2),
    "free bits": lambda: ELBO(free_bits=0.1),
    "free bits per dimension": lambda: ELBO(free_bits=0.1, per_dimension=True),
    "capacity": lambda: ELBO(capacity=1.0),
} | {n: (lambda n=n: make_objective(n)) for n in of("objectives") if n != "objectives.MSSSIM"}  # of images alone
LIKELIHOODS = [n for n in of("likelihoods") if event_of(n) == (FEATURES,)]  # of what the posteriors encode
FACTORISED = (
    "posteriors.DiagonalNormal",
    "posteriors.Corrupted",
    "posteriors.Factorized",
    "posteriors.FromPrior",
    "posteriors.LocalNormal",
)
MIXTURES = ("priors.NormalMixture", "priors.FittedMixture")
NO_CLOSED_FORM = (*MIXTURES, "priors.Factorized")
PAIRED = (*FACTORISED, "posteriors.BernoulliCode")  # whose log q(z_d|x_n) is known
CODES = {
    "posteriors.BernoulliCode": "bits",
    "priors.BernoulliPrior": "bits",
    "posteriors.CategoricalCode": "categories",
    "priors.CategoricalPrior": "categories",
}
FEW = ("plain", "objectives.IWAE", "objectives.Distortion", "objectives.VAEGAN")  # of every sort
TOGETHER = (Reparameterized, AnalyticKL, Path)  # look at all samples of a batch at once, or do not mind
WAYS_OUT = ("()", "StandardNormal", "DiagonalNormal", "samples=2", "Split(IWAE")


def data_for(likelihood: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return likelihood(torch.randn(3, LATENT)).sample()


def step_or_refusal(model: VAE, objective: Objective, estimator: Estimator, *, refused: bool, which: object) -> None:
    step, x = Step(model, objective, estimator), data_for(model.likelihood)
    if refused:
        with pytest.raises(IncompatibleError) as error:
            step(x)
        assert names_both_and_a_way_out(str(error.value), objective, estimator), (which, str(error.value))
        return
    loss, _ = step(x)
    if loss.requires_grad:  # the rate of a posterior without parameters under a fixed prior has nothing to train
        loss.backward()
    assert loss.isfinite(), which
    assert all(p.grad is None or p.grad.isfinite().all() for p in step.parameters()), which


@pytest.mark.parametrize("posterior", of("posteriors"))
@pytest.mark.parametrize("prior", [*of("priors"), None])
def test_every_combination(prior: str | None, posterior: str) -> None:
    """Finite loss and gradients, or `IncompatibleError` with a way out; and exactly the refusals that are meant."""
    if prior is None and posterior != "posteriors.Deterministic":
        with pytest.raises(
            IncompatibleError, match=r"expected a prior such as .*, or prior=None with a Deterministic posterior"
        ):
            VAE(None, make("likelihoods.Gaussian"), make(posterior))
        return
    for goal, how in itertools.product(OBJECTIVES, of("estimators")):
        model, objective, estimator = (
            VAE(prior and make(prior), make("likelihoods.Gaussian"), make(posterior)),
            OBJECTIVES[goal](),
            make(how),
        )
        legal = not refused(prior, posterior, objective, estimator)
        step_or_refusal(model, objective, estimator, refused=not legal, which=(goal, how))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood(likelihood: str) -> None:
    """What a pair may do does not depend on the likelihood: each with a posterior of every sort."""
    pairs = [
        ("priors.StandardNormal", "posteriors.DiagonalNormal"),
        ("priors.BernoulliPrior", "posteriors.BernoulliCode"),
        (None, "posteriors.Deterministic"),
    ]
    for (prior, posterior), goal, how in itertools.product(pairs, FEW, of("estimators")):
        objective, estimator = OBJECTIVES[goal](), make(how)
        if not refused(prior, posterior, objective, estimator):
            model = VAE(prior and make(prior), make(likelihood), make(posterior))
            together = objective.uses_rate and not objective.sees_samples and isinstance(within(estimator), TOGETHER)
            legal = together or not getattr(model.likelihood, "of_batch", False)
            step_or_refusal(model, objective, estimator, refused=not legal, which=(prior, goal, how))


def refused(prior: str | None, posterior: str, objective: Objective, estimator: Estimator) -> bool:
    """The rules of the documentation, in one place."""
    deterministic, weights = posterior == "posteriors.Deterministic", not objective.uses_rate
    if isinstance(estimator, BayesianWeights):
        return True  # no model here has random weights
    estimator = within(estimator)
    codes, per_dimension = CODES.get(posterior), getattr(objective, "per_dimension", False)
    generative, inference = objective.pair
    apart = generative is not inference
    if not objective.fits_model or (isinstance(estimator, RELAX | Enumerated) and apart):
        return True
    if codes and isinstance(estimator, MonteCarloEM):
        return True
    if isinstance(estimator, Covariance) and not isinstance(objective, TVO):
        return True
    if codes != CODES.get(prior or "") and not deterministic:
        return True
    if isinstance(estimator, WakeSleep | MonteCarloEM) and not (objective.separable and objective.needs_density):
        return True
    if isinstance(estimator, WakeSleep) and estimator.wake and objective.samples < 2:
        return True
    bound = objective.bound()
    if isinstance(estimator, MonteCarloEM) and (type(bound), vars(bound)) != (type(objective), vars(objective)):
        return True
    if deterministic and (objective.needs_density or isinstance(estimator, Score)):
        return True
    if codes and isinstance(estimator, Reparameterized | AnalyticKL | Path):
        return True
    if not codes and isinstance(estimator, Enumerated | Relaxed | StraightThrough | RELAX):
        return True
    if isinstance(estimator, AnalyticKL) and (weights or (prior in NO_CLOSED_FORM and not deterministic)):
        return True
    if isinstance(estimator, Path | Score | RELAX) and not objective.separable:
        return True
    if isinstance(estimator, Enumerated) and (weights or objective.sees_samples):
        return True
    if isinstance(estimator, Score) and objective.samples < estimator.baseline.samples:
        return True
    penalties = getattr(objective, "penalties", ())
    if any(isinstance(p, Contractive) for p in penalties) and posterior == "posteriors.LocalNormal":
        return True  # it has no slope
    if any(isinstance(p, TotalCorrelation) for p in penalties) and posterior not in PAIRED:
        return True
    if any(isinstance(p, InferredPrior) for p in penalties) and posterior == "posteriors.FullStudentT":
        return True  # its moments are not known
    return per_dimension and not (codes or (posterior in FACTORISED and prior not in MIXTURES))


def within(estimator: Estimator) -> Estimator:
    """The estimator that MAP is around."""
    return getattr(estimator, "estimator", estimator)


def names_both_and_a_way_out(message: str, objective: Objective, estimator: Estimator) -> bool:
    """What was got, by name, and something that works, in one sentence."""
    named = {type(objective).__name__, type(estimator).__name__, "posterior", "prior"}
    return (
        any(n in message for n in named)
        and any(w in message for w in WAYS_OUT)
        and re.search(r"; use |\. Use ", message) is not None
        and "\n" not in message
    )
