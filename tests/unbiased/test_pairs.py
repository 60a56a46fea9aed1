"""Every objective × estimator × posterior × prior: unbiased for every parameter, or refused by an error that helps."""

from __future__ import annotations

import functools
import itertools

import pytest
import torch

from elbox import (
    ELBO,
    IWAE,
    AnalyticKL,
    IncompatibleError,
    Renyi,
    Score,
    estimators,
    likelihoods,
)
from elbox.estimators import Estimator
from elbox.nn import MLP
from elbox.objectives import Objective, Rate
from tests.unbiased import exact
from tests.unbiased.exact import Formula, Gradient, codes, gradient, line, nodes, plane
from tests.unbiased.models import FEATURES, batch, model
from tests.unbiased.sampled import agree

OBJECTIVES: dict[str, tuple[Objective, Formula]] = {
    "ELBO": (ELBO(samples=2), exact.elbo()),
    "beta": (ELBO(beta=0.4, samples=2), exact.elbo(0.4)),
    "Rate": (Rate(0.7, samples=2), exact.rate(0.7)),
    "IWAE": (IWAE(2), exact.renyi(0.0, 2)),
    "Renyi 0.5": (Renyi(0.5, 2), exact.renyi(0.5, 2)),
    "Renyi -1": (Renyi(-1.0, 2), exact.renyi(-1.0, 2)),
}
ESTIMATORS: dict[str, Estimator] = {
    n: getattr(estimators, n)() for n in ("Reparameterized", "AnalyticKL", "Path", "Score")
}
CONTINUOUS = ("DiagonalNormal", "FullNormal", "zuko.MAF")
PRIORS = ("StandardNormal", "LearnedNormal", "NormalMixture", "zuko.GMM")
CLOSED_FORM_KL = {(q, p) for q in ("DiagonalNormal", "FullNormal") for p in ("StandardNormal", "LearnedNormal")}


def legal(objective: Objective, estimator: Estimator, posterior: str, prior: str) -> bool:
    """What the documentation says; `test_every_pair` finds out whether the code agrees."""
    if isinstance(estimator, AnalyticKL):
        return objective.uses_rate and (posterior.removeprefix("Corrupted"), prior) in CLOSED_FORM_KL
    return posterior != "Coins" or isinstance(estimator, Score)


@functools.cache
def exact_gradient(objective: str, posterior: str, prior: str) -> Gradient:
    vae, (_, formula) = model(posterior, prior), OBJECTIVES[objective]
    grid = codes(2) if posterior == "Coins" else plane()
    return gradient(vae, exact.mean(formula, nodes(vae, batch(), grid)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("posterior", "prior"), [*itertools.product(CONTINUOUS, PRIORS), ("Coins", "Coins")])
def test_every_pair(posterior: str, prior: str, objective: str, estimator: str) -> None:
    """The mean gradient over 7 200 draws or more is the exact one, within 6 standard errors for each parameter."""
    vae, goal, how = model(posterior, prior), OBJECTIVES[objective][0], ESTIMATORS[estimator]
    if not legal(goal, how, posterior, prior):
        with pytest.raises(IncompatibleError, match="; use "):
            how(vae, batch(), goal)
        return
    agree(exact_gradient(objective, posterior, prior), how, vae, goal, batch())


# ── more samples, other likelihoods, other latent variables ─────────────────────────────────────────────────────────

MANY: dict[str, tuple[Objective, Formula]] = {
    "ELBO 1": (ELBO(), exact.elbo()),
    "ELBO 4": (ELBO(samples=4), exact.elbo()),
    "IWAE 1": (IWAE(1), exact.elbo()),
    "IWAE 3": (IWAE(3), exact.renyi(0.0, 3)),
    "Renyi 0.5, 3": (Renyi(0.5, 3), exact.renyi(0.5, 3)),
    "Renyi 2, 3": (Renyi(2.0, 3), exact.renyi(2.0, 3)),
}


@pytest.mark.parametrize("estimator", ["Reparameterized", "Path", "Score"])
@pytest.mark.parametrize("objective", MANY)
def test_other_numbers_of_samples(objective: str, estimator: str) -> None:
    """One latent dimension, where sums over triples of nodes are cheap."""
    vae, (goal, formula), how = (
        model("DiagonalNormal", "LearnedNormal", latent=1),
        MANY[objective],
        ESTIMATORS[estimator],
    )
    if estimator == "Score" and goal.samples == 1:
        with pytest.raises(IncompatibleError, match=r"got (ELBO|Renyi) with samples=1; use samples=2 or more"):
            how(vae, batch(), goal)
        return
    right = gradient(vae, exact.mean(formula, nodes(vae, batch(), line(61))))
    agree(right, how, vae, goal, batch())


@pytest.mark.parametrize("objective", [name for name, (goal, _) in MANY.items() if goal.samples > 1])
def test_discrete_codes_by_enumeration(objective: str) -> None:
    """Score with a Bernoulli posterior and prior: all K-tuples of the 8 codes of 3 bits."""
    vae, (goal, formula) = model("Coins", "Coins", latent=3), MANY[objective]
    right = gradient(vae, exact.mean(formula, nodes(vae, batch(), codes(3))))
    agree(right, Score(), vae, goal, batch())


LIKELIHOODS = {
    "Bernoulli": lambda: likelihoods.Bernoulli(MLP(2, [], FEATURES)),
    "Categorical": lambda: likelihoods.Categorical(MLP(2, [], (2, FEATURES))),
    "DiscretizedLogistic": lambda: likelihoods.DiscretizedLogistic(MLP(2, [], (2, FEATURES)), levels=2, scale=0.5),
    "FixedGaussian": lambda: likelihoods.FixedGaussian(MLP(2, [], FEATURES), sigma=0.7),
    "Gaussian": lambda: likelihoods.Gaussian(MLP(2, [], FEATURES)),
    "PredictedGaussian": lambda: likelihoods.PredictedGaussian(MLP(2, [], (2, FEATURES))),
    "Poisson": lambda: likelihoods.Poisson(MLP(2, [], FEATURES)),
    "Binomial": lambda: likelihoods.Binomial(MLP(2, [], FEATURES), levels=2),
    "ContinuousBernoulli": lambda: likelihoods.ContinuousBernoulli(MLP(2, [], FEATURES)),
    "Laplace": lambda: likelihoods.Laplace(MLP(2, [], FEATURES)),
    "NegativeBinomial": lambda: likelihoods.NegativeBinomial(MLP(2, [], FEATURES)),
    "StudentT": lambda: likelihoods.StudentT(MLP(2, [], FEATURES)),
}  # of those that give zeros and ones a density, and whose density does not depend on the batch


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("objective", ["ELBO", "IWAE"])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood(likelihood: str, objective: str, estimator: str) -> None:
    torch.manual_seed(5)
    vae, (goal, formula), how = (
        model(likelihood=LIKELIHOODS[likelihood]()),
        OBJECTIVES[objective],
        ESTIMATORS[estimator],
    )
    if not legal(goal, how, "DiagonalNormal", "StandardNormal"):
        return
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    right = gradient(vae, exact.mean(formula, nodes(vae, x, plane())))
    agree(right, how, vae, goal, x)


@pytest.mark.parametrize("estimator", ["Reparameterized", "Path", "Score"])
@pytest.mark.parametrize("objective", ["ELBO", "IWAE"])
@pytest.mark.parametrize("posterior", ["Corrupted", "Corrupted(zuko.MAF)"])
def test_corrupted_input(posterior: str, objective: str, estimator: str) -> None:
    """The expectation is also over the 8 masks of the input; all samples of an example share one."""
    vae, (goal, formula), x = model(posterior, "LearnedNormal"), OBJECTIVES[objective], batch()
    q, total = vae.posterior, torch.zeros((), dtype=torch.float64)
    for mask in codes(FEATURES).z:
        probability = torch.where(mask == 1, q.masking, 1 - q.masking).prod()
        seen = torch.where(mask == 1, torch.full_like(x, q.blank), x)
        vae.eval()  # q(z|seen), without masking once more
        total = total + probability * exact.mean(formula, nodes(vae, x, plane(), seen))
    vae.train()
    agree(gradient(vae, total), ESTIMATORS[estimator], vae, goal, x)
