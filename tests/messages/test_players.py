"""Pairs that would be wrong without a word are refused with one that works."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from elbox import ELBO, IWAE, VAE, AnalyticKL, IncompatibleError, Reparameterized
from elbox.estimators import MAP, BayesianWeights, Enumerated, MonteCarloEM
from elbox.evaluate import marginal_likelihood
from elbox.likelihoods import Bernoulli, OptimalGaussian
from elbox.nn import MLP
from elbox.objectives import CUBO, PIWAE, Penalized, Split
from elbox.posteriors import BernoulliCode, DiagonalNormal, LocalNormal
from elbox.priors import BernoulliPrior, StandardNormal

X = torch.rand(4, 5).round()


def normal(likelihood: nn.Module) -> VAE:
    return VAE(StandardNormal(2), likelihood, DiagonalNormal(MLP(5, [], (2, 2)), 2))


def coded() -> VAE:
    return VAE(BernoulliPrior(2), Bernoulli(MLP(2, [], 5)), BernoulliCode(MLP(5, [], 2), 2))


def local() -> VAE:
    prior, likelihood = StandardNormal(2), Bernoulli(MLP(2, [], 5))
    return VAE(prior, likelihood, LocalNormal(prior, likelihood, 2, steps=1))


CASES = {
    "a sum over codes for two players": (
        lambda: Enumerated()(coded(), X, Split(ELBO(), ELBO(beta=0.5))),
        "Split has one for each player; use Score",
    ),
    "penalties for two players": (lambda: Penalized(PIWAE(2, 2), []), r"Penalized around Split.* use Split\(Penalized"),
    "penalties on an upper bound": (
        lambda: Reparameterized()(normal(Bernoulli(MLP(2, [], 5))), X, Penalized(CUBO(2.0, 2), [])),
        "use",
    ),
    "two players with one decoder": (
        lambda: Reparameterized()(local(), X, PIWAE(2, 2)),
        "Split trains model and posterior apart, and LocalNormal holds parts of the model; use a Diag",
    ),
    "Hamiltonian dynamics of bits": (lambda: MonteCarloEM()(coded(), X, ELBO()), r"discrete codes; use WakeSleep\(\)"),
    "a density fitted to bits": (lambda: marginal_likelihood(coded(), X), "codes or bounded; .* use log_likelihood"),
    "weights of a variance of the batch": (
        lambda: Reparameterized()(normal(OptimalGaussian(MLP(2, [], 5))), X, IWAE(2)),
        r"OptimalGaussian takes its variance from the whole batch, .* with Renyi .*; use a Gaussian likelihood",
    ),
    "chains under a variance of the batch": (
        lambda: MonteCarloEM()(normal(OptimalGaussian(MLP(2, [], 5))), X, ELBO()),
        "OptimalGaussian takes its variance from the whole batch, and MonteCarloEM",
    ),
    "local climbs under a variance of the batch": (
        lambda: LocalNormal(StandardNormal(2), OptimalGaussian(MLP(2, [], 5)), 2),
        "got LocalNormal with OptimalGaussian, .* use Gaussian",
    ),
    "random weights around chains, wrapped": (
        lambda: BayesianWeights(MAP(MonteCarloEM(), 50), 50),
        "MonteCarloEM needs a density that stays; use",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str) -> None:
    action, says = CASES[case]
    with pytest.raises(IncompatibleError, match=says):
        action()


def test_log_prob_does_not_depend_on_the_mode_and_remembers_nothing() -> None:
    """A variance that is that of the batch in training is the remembered one in any score."""
    model = normal(OptimalGaussian(MLP(2, [], 5)))
    AnalyticKL()(model, torch.randn(50, 5), ELBO())
    before, x = model.likelihood.square.clone(), torch.randn(6, 5)
    torch.manual_seed(1)
    training = model.train().log_prob(x, samples=5)
    torch.manual_seed(1)
    torch.testing.assert_close(training, model.eval().log_prob(x, samples=5))
    assert torch.equal(model.likelihood.square, before)
    assert model.train().training
