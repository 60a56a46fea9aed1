"""The marginal likelihood by Hamiltonian Monte Carlo, against the exact evidence of linear-Gaussian models."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Dirichlet, Gamma

import elbox
from elbox import DataSpec, IncompatibleError, SettingError
from elbox.distributions import VonMises
from elbox.evaluate import marginal_likelihood
from tests.closed_form.linear import data, evidence, linear_gaussian


@pytest.mark.parametrize(("samples", "chains"), [(20, 10), (60, 5)])
@pytest.mark.parametrize("prior", ["standard", "learned"])
def test_is_unbiased_in_the_reciprocal(samples: int, chains: int, prior: str) -> None:
    """E[q(z) / p(x, z)] = 1 / p(x), so E exp(log p(x) − estimate) = 1; from starts that are off, for any L."""
    torch.manual_seed(3)
    model, x = linear_gaussian("full", prior, exact=False, off=0.1), data(3)
    many = x.repeat_interleave(200, 0)
    found = marginal_likelihood(model, many, samples=samples, chains=chains, burn_in=40)
    estimates = torch.from_numpy(found.per_example).unflatten(0, (3, 200)).T
    exact = evidence(model, x)
    ratio = (exact - estimates).exp()
    assert ((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / math.sqrt(200)).all()
    assert (estimates.mean(0) - exact).abs().max() < 0.2
    assert (estimates.mean(0) > exact - 3 * estimates.std(0) / 14).all(), "it errs upwards, if at all"
    assert found.acceptance == pytest.approx(0.9, abs=0.03)


def test_does_not_depend_on_the_posterior() -> None:
    """An encoder that is far off costs the importance-weighted estimate nats, and this one nothing."""
    torch.manual_seed(3)
    model, x = linear_gaussian("full", exact=False, off=0.6), data(40)
    exact = evidence(model, x).mean().item()
    found = marginal_likelihood(model, x, samples=50, burn_in=60)
    assert found.log_likelihood.mean == pytest.approx(exact, abs=0.1)
    assert elbox.evaluate(model, x, samples=50).elbo.mean < exact - 0.5


def test_same_seed_same_numbers() -> None:
    model, x = linear_gaussian("full"), data(5)
    first, again, other = (marginal_likelihood(model, x, samples=10, burn_in=6, seed=s) for s in (0, 0, 1))
    assert (first.per_example == again.per_example).all()
    assert (first.per_example != other.per_example).any()
    assert first.samples == 10


def test_condition_and_progress() -> None:
    from elbox.nn import MLP

    prior, done = elbox.priors.StandardNormal(2), []
    likelihood = elbox.likelihoods.Bernoulli(MLP(2, [4], 5, context=1))
    model = elbox.VAE(prior, likelihood, elbox.posteriors.DiagonalNormal(MLP(5, [4], (2, 2), context=1), 2))
    x, c = torch.ones(7, 5), torch.linspace(-2, 2, 7)[:, None]
    found = marginal_likelihood(model, x, samples=10, burn_in=6, c=c, progress=lambda n, total: done.append((n, total)))
    assert done[-1] == (7, 7)
    assert len(set(found.per_example)) == 7


def test_what_does_not_fit_is_refused() -> None:
    spec = DataSpec((5,), "binary")
    with pytest.raises(IncompatibleError, match=r"latent variables of shape \(6,\); expected at most 5 dimensions"):
        marginal_likelihood(elbox.recipes.vae(spec, latent=6, hidden=(4,)).model, torch.ones(2, 5))
    with pytest.raises(IncompatibleError, match="on an autoencoder, which has no density"):
        marginal_likelihood(elbox.recipes.ae(spec, latent=2, hidden=(4,)).model, torch.ones(2, 5))
    for family in (Gamma, Dirichlet, VonMises):
        net = elbox.nn.Angles(elbox.nn.MLP(4, [], 5)) if family is VonMises else elbox.nn.MLP(2, [], 5)
        q = elbox.posteriors.Factorized(
            elbox.nn.MLP(5, [], elbox.posteriors.Factorized.output_shape(2, family)), 2, family
        )
        model = elbox.VAE(elbox.priors.Factorized(2, family), elbox.likelihoods.Bernoulli(net), q)
        with pytest.raises(IncompatibleError, match="codes or bounded; expected real numbers"):
            marginal_likelihood(model, torch.ones(2, 5))
    with pytest.raises(SettingError, match="got samples=3, chains=5; expected two samples or more for each"):
        marginal_likelihood(elbox.recipes.vae(spec, latent=2, hidden=(4,)).model, torch.ones(2, 5), samples=3)
