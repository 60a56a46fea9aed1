"""Clusters as latent variables: the bound and its gradient, the evidence, and measures against labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import elbox
from elbox import ELBO, IWAE, VAE, IncompatibleError, ShapeError, draws, likelihoods, posteriors, priors
from elbox.estimators import Enumerated, Reparameterized, Score
from elbox.evaluate.clusters import _right
from elbox.models import GMVAE
from elbox.nn import MLP

F, M = 3, 4
GRID = torch.linspace(-10, 10, 4001, dtype=torch.float64)


def parts() -> tuple[priors.NormalMixture, likelihoods.Gaussian, posteriors.NormalMixture]:
    """One latent dimension, so that everything is known by quadrature."""
    torch.manual_seed(3)
    prior = priors.NormalMixture(1, M).double()
    with torch.no_grad():
        prior.logits.copy_(torch.randn(M))
        prior.log_scales.copy_(0.3 * torch.randn(M, 1))
    likelihood = likelihoods.Gaussian(MLP(1, [5], F, torch.nn.Tanh)).double()
    posterior = posteriors.NormalMixture(MLP(F, [5], (M, 3), torch.nn.Tanh), 1, M).double()
    return prior, likelihood, posterior


def exact_bound(model: GMVAE, x: Tensor) -> Tensor:
    """Σ_y q(y|x) ∫ q(z|x, y) [...] dz on a grid, [B]."""
    q, p, z = model.posterior(x), model.prior(), GRID[:, None, None]
    log_px = model.likelihood(z.expand(-1, len(x), 1)).log_prob(x)  # [G, B]
    bound = torch.zeros(len(x), dtype=torch.float64)
    for y in range(M):
        log_q = torch.distributions.Normal(q.loc[:, y, 0], q.scale[:, y, 0]).log_prob(GRID[:, None])
        log_p = torch.distributions.Normal(p.loc[y, 0], p.scale[y, 0]).log_prob(GRID[:, None])
        inner = (log_q.exp() * (log_px + log_p - log_q)).sum(0) * (GRID[1] - GRID[0])
        bound = bound + q.logits[:, y].exp() * (inner + p.logits[y] - q.logits[:, y])
    return bound


@pytest.mark.parametrize("estimator", [Enumerated(), Score()], ids=lambda e: type(e).__name__)
def test_bound_and_gradient_are_exact_in_expectation(estimator: Enumerated | Score) -> None:
    model, x, n = GMVAE(*parts()), torch.randn(2, F).double(), 120
    parameters = list(model.parameters())
    wanted = exact_bound(model, x)
    gradient = torch.autograd.grad(-wanted.mean(), parameters)
    values, found = [], []
    torch.manual_seed(0)
    for _ in range(n):
        estimate = estimator(model, x, ELBO(samples=1 if isinstance(estimator, Enumerated) else 20))
        values.append(estimate.objective.detach())
        found.append(torch.autograd.grad(estimate.loss, parameters))
    mean, error = torch.stack(values).mean(0), torch.stack(values).std(0) / math.sqrt(n)
    assert ((mean - wanted).abs() < 4 * error + 1e-6).all()
    for i, g in enumerate(gradient):
        each = torch.stack([f[i] for f in found])
        assert ((each.mean(0) - g).abs() < 4.5 * each.std(0) / math.sqrt(n) + 1e-6).all(), i


def test_evidence_is_that_of_the_mixture() -> None:
    """Importance weights of (y, z) average to p(x), and the bound with y summed out lies between."""
    prior, likelihood, posterior = parts()
    with torch.no_grad():
        posterior.net.net[-1].bias.view(M, 3)[:, 2] += 1.0  # wide, so that weights are bounded
    model, x = GMVAE(prior, likelihood, posterior), torch.randn(2, F).double()
    joint = likelihood(GRID[:, None, None].expand(-1, 2, 1)).log_prob(x) + prior().log_prob(GRID[:, None])[:, None]
    exact = torch.logsumexp(joint, 0) + torch.log(GRID[1] - GRID[0])
    torch.manual_seed(0)
    log_w = model.terms(x, 40_000, draw=draws.sample).log_w
    weight = torch.exp(log_w - exact)
    assert ((weight.mean(0) - 1).abs() < 4 * weight.std(0) / math.sqrt(len(weight))).all()
    with torch.no_grad():
        marginal = VAE(prior, likelihood, posterior).terms(x, 40_000, draw=draws.sample).elbo
        bound = exact_bound(model, x)
    assert (bound < marginal + 0.05).all()
    assert (marginal < exact + 0.05).all()


def test_groups_hold_cluster_and_code() -> None:
    model, x = GMVAE(*parts()), torch.randn(5, F).double()
    terms = model.terms(x, 7, draw=draws.sample)
    assert list(terms.groups) == ["y", "z"]
    assert terms.groups["y"].z.shape == (7, 5, M)
    assert terms.groups["z"].z.shape == (7, 5, 1)
    torch.testing.assert_close(model.assigned(x), model.posterior(x).logits.exp())
    assert elbox.evaluate(model, x, samples=20).rate.mean > 0
    assert model.sample(3).shape == (3, F)


def test_refusals() -> None:
    prior, likelihood, posterior = parts()
    x = torch.randn(2, F).double()
    plain = posteriors.DiagonalNormal(MLP(F, [5], (2, 1)).double(), 1)
    with pytest.raises(IncompatibleError, match=r"DiagonalNormal posterior in GMVAE.*use a NormalMixture posterior"):
        Enumerated()(GMVAE(prior, likelihood, plain), x, ELBO())
    with pytest.raises(IncompatibleError, match=r"StandardNormal prior in GMVAE.*use a NormalMixture prior"):
        Enumerated()(GMVAE(priors.StandardNormal(1).double(), likelihood, posterior), x, ELBO())
    with pytest.raises(ShapeError, match="a posterior of 4 components with a prior of 2"):
        Enumerated()(GMVAE(priors.NormalMixture(1, 2).double(), likelihood, posterior), x, ELBO())
    with pytest.raises(IncompatibleError, match=r"a condition with GMVAE"):
        GMVAE(prior, likelihood, posterior).terms(x, c=x)
    with pytest.raises(IncompatibleError, match=r"OneHots has none; use Score"):
        Reparameterized()(GMVAE(prior, likelihood, posterior), x, ELBO())
    with pytest.raises(IncompatibleError, match=r"Enumerated needs an objective of distortion and rate"):
        Enumerated()(GMVAE(prior, likelihood, posterior), x, IWAE(3))
    with pytest.raises(IncompatibleError, match=r"Enumerated\(\) needs a posterior over discrete codes"):
        Enumerated()(VAE(prior, likelihood, posterior), x, ELBO())


def test_assignments_are_responsibilities() -> None:
    """Of well separated components: those of the codes; of a posterior that spreads, their mean."""
    prior, likelihood, _ = parts()
    with torch.no_grad():
        prior.means.copy_(torch.tensor([[-30.0], [-10.0], [10.0], [30.0]]))
    posterior = posteriors.DiagonalNormal(torch.nn.Unflatten(-1, (2, 1)), 1)
    x = torch.tensor([[-29.0, -3.0], [11.0, -3.0], [0.0, 3.0]]).double()
    found = elbox.assignments(VAE(prior, likelihood, posterior), x, draws=4000)
    torch.testing.assert_close(found.sum(1), torch.ones(3).double())
    assert found.argmax(1)[:2].tolist() == [0, 2]
    assert 0.3 < float(found[2, :2].sum()) < 0.7
    with pytest.raises(IncompatibleError, match=r"got a StandardNormal prior.*use a NormalMixture prior"):
        elbox.assignments(VAE(priors.StandardNormal(1), likelihood, posterior), x)


def test_accuracy_is_that_of_the_best_matching() -> None:
    """Against all permutations; clusters beyond the classes count as wrong."""
    from itertools import permutations

    rng = np.random.default_rng(0)
    for clusters, classes in ((4, 4), (5, 3), (3, 5)):
        found, labels = rng.integers(0, clusters, 60), rng.integers(0, classes, 60)
        wide = max(clusters, classes)
        best = max((np.asarray(order)[found] == labels).mean() for order in permutations(range(wide)))
        assert _right(found, labels).mean() == pytest.approx(best)
    assert _right(np.array([2, 2, 0]), np.array([7, 7, 1])).tolist() == [1, 1, 1]
