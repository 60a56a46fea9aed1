"""Random weights: their divergence, the moments of what comes of them, and the evidence of a linear regression."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from elbox import ELBO, IncompatibleError, Reparameterized, SettingError, Terms
from elbox.estimators import BayesianWeights
from elbox.nn import MLP, Bayesian, BayesianLinear, ConvDecoder
from tests.closed_form.linear import unclip

SCALE, SIGMA, N = 1.5, 0.6, 8


def layer(inputs: int = 4, outputs: int = 3) -> BayesianLinear:
    torch.manual_seed(0)
    made = BayesianLinear(inputs, outputs, SCALE).double()
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(0.5 * torch.randn_like(p) - 0.3)
    return made


def test_kl_is_that_of_samples() -> None:
    """E_q[log q(w) − log p(w)], within 3 standard errors."""
    made, prior = layer(), Normal(0.0, SCALE)
    draws = torch.zeros(200_000, dtype=torch.float64)
    for q in made.posterior():
        w = q.sample((200_000,))
        draws += (q.log_prob(w) - prior.log_prob(w)).flatten(1).sum(1)
    assert (draws.mean() - made.kl()).abs() < 3 * draws.std() / math.sqrt(len(draws))


def test_kl_of_the_prior_is_zero() -> None:
    made = layer()
    with torch.no_grad():
        made.mean.zero_()
        made.bias_mean.zero_()
        for p in (made.log_spread, made.bias_log_spread):
            p.fill_(unclip(torch.tensor(math.log(SCALE))))
    torch.testing.assert_close(made.kl(), torch.zeros((), dtype=torch.float64), atol=1e-6, rtol=0)


def test_activations_have_the_moments_of_sampled_weights() -> None:
    """Mean and variance of h for each row, as from weights drawn one by one; and outputs are uncorrelated."""
    made, x, n = layer(), torch.randn(2, 4, dtype=torch.float64), 100_000
    weight, bias = (q.sample((n,)) for q in made.posterior())
    drawn = torch.einsum("nij,bj->nbi", weight, x) + bias[:, None]
    local = made(x.expand(n, 2, 4)).detach()
    for h in (drawn, local):
        assert h.shape == (n, 2, 3)
    error = drawn.std(0) / math.sqrt(n)
    assert ((drawn.mean(0) - local.mean(0)).abs() < 5 * error).all()
    ratio = local.var(0) / drawn.var(0)
    assert (ratio - 1).abs().max() < 5 * math.sqrt(2 * 2 / n)
    correlation = torch.corrcoef(local[:, 0].T)
    assert (correlation - torch.eye(3)).abs().max() < 5 / math.sqrt(n)


def test_rows_have_weights_of_their_own() -> None:
    """Which is why samples of one example may not be weighed against each other: see BayesianWeights."""
    h = layer()(torch.ones(100_000, 2, 4, dtype=torch.float64)).detach()
    assert torch.corrcoef(h[:, :, 0].T)[0, 1].abs() < 5 / math.sqrt(100_000)


# ── Bayesian linear regression: y_n = w · φ_n + b + noise, w, b ~ N(0, SCALE²), noise of known SIGMA ─────────────────


def design() -> Tensor:
    """N rows of orthogonal columns of ±1, orthogonal to the bias too: the posterior of the weights factorises."""
    h = torch.ones(1, 1, dtype=torch.float64)
    while len(h) < N:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    return h[:, 1:4]


class Regression(nn.Module):
    """p(y|φ, w) as a model of rows x = (φ, y), without latent variables but the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.net = BayesianLinear(3, 1, SCALE).double()

    def terms(self, x: Tensor, samples: int = 1, *, c: object = None, draw: object = None) -> Terms:
        mean = self.net(x[:, :3].expand(samples, *x[:, :3].shape))[..., 0]
        return Terms(Normal(mean, SIGMA).log_prob(x[:, 3]), {})


def regression() -> tuple[Regression, Tensor, Tensor]:
    """The model with the exact posterior, the data, and the exact log-evidence of all of them."""
    torch.manual_seed(0)
    phi, model = design(), Regression()
    full = torch.cat([phi, torch.ones(N, 1, dtype=torch.float64)], 1)
    y = full @ torch.tensor([1.0, -0.5, 0.3, 0.7], dtype=torch.float64) + SIGMA * torch.randn(N, dtype=torch.float64)
    noise = SIGMA**2 * torch.eye(N, dtype=torch.float64)
    evidence = MultivariateNormal(torch.zeros_like(y), SCALE**2 * full @ full.T + noise).log_prob(y)
    precision = torch.eye(4, dtype=torch.float64) / SCALE**2 + full.T @ full / SIGMA**2
    mean, spread = torch.linalg.solve(precision, full.T @ y / SIGMA**2), precision.diagonal() ** -0.5
    with torch.no_grad():
        model.net.mean.copy_(mean[None, :3])
        model.net.bias_mean.copy_(mean[3:])
        model.net.log_spread.copy_(unclip(spread[None, :3].log()))
        model.net.bias_log_spread.copy_(unclip(spread[3:].log()))
    return model, torch.cat([phi, y[:, None]], 1), evidence


def bound(model: Regression, x: Tensor, samples: int = 100_000) -> tuple[Tensor, Tensor]:
    """N times the mean objective, with its standard error."""
    estimate = BayesianWeights(Reparameterized(), N)(model, x, ELBO(samples=samples))
    terms = estimate.terms
    torch.testing.assert_close(estimate.objective, terms.elbo)  # full variational Bayes is just the ELBO
    torch.testing.assert_close(estimate.objective, ELBO()(terms))
    torch.testing.assert_close(terms.log_w.mean(0), terms.elbo)
    torch.testing.assert_close(estimate.loss, -estimate.objective.mean())
    error = terms.log_px.sum(1).std() / math.sqrt(samples)
    return N * estimate.objective.mean().detach(), error.detach()


def test_bound_of_the_exact_posterior_is_the_evidence() -> None:
    model, x, evidence = regression()
    value, error = bound(model, x)
    assert (value - evidence).abs() < 3 * error
    assert error < 0.02


def test_bound_of_another_posterior_is_lower_by_its_divergence() -> None:
    model, x, evidence = regression()
    truth = [Normal(q.mean.detach().clone(), q.stddev.detach().clone()) for q in model.net.posterior()]
    for shift in (0.1, 0.4):
        with torch.no_grad():
            model.net.mean += shift
            model.net.log_spread += shift
        gap = sum(kl_divergence(q, p).sum() for q, p in zip(model.net.posterior(), truth, strict=True))
        value, error = bound(model, x)
        assert gap > 0.1 * shift
        assert (value + gap - evidence).abs() < 3 * error


def test_gradient_vanishes_at_the_exact_posterior() -> None:
    """The bound's maximum: mean gradients over many draws are 0, those of the weights' share alone are not."""
    model, x, _ = regression()
    found = []
    for _ in range(24):
        model.zero_grad()
        BayesianWeights(Reparameterized(), N)(model, x, ELBO(samples=2000)).loss.backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    g = torch.stack(found)
    assert (g.mean(0).abs() / (g.std(0) / math.sqrt(24))).max() < 5
    share = torch.autograd.grad(model.net.kl() / N, list(model.parameters()))
    assert min(t.abs().max() for t in share) > 10 * (g.std(0) / math.sqrt(24)).max()


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_network_begins_at_its_weights() -> None:
    """With hardly any spread it is the network that it was."""
    torch.manual_seed(0)
    plain, x = MLP(3, [5], (2, 2), nn.Tanh), torch.randn(7, 3)
    expected = plain(x)
    random = Bayesian(plain, spread=1e-4)
    torch.testing.assert_close(random(x), expected, atol=2e-3, rtol=0)
    assert not torch.equal(random(x), random(x))
    assert len(random.layers) == 2
    torch.testing.assert_close(random.layers[0].posterior()[0].stddev, torch.full((5, 3), 1e-4), rtol=1e-4, atol=0)


def test_network_with_other_weights_is_refused() -> None:
    with pytest.raises(IncompatibleError, match=r"got a ConvDecoder with .*; expected a network of linear layers"):
        Bayesian(ConvDecoder(2, (1, 8, 8), channels=(3,)))


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"spread": -1.0}])
def test_bad_settings(bad: dict[str, float]) -> None:
    with pytest.raises(SettingError, match="expected positive numbers"):
        BayesianLinear(2, 2, **bad)
