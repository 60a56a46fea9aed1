"""Rates in closed form against quadrature, Monte Carlo and other closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Laplace, MultivariateNormal, kl_divergence

from elbox import VAE, AnalyticKL, Group, IncompatibleError, Reparameterized
from elbox.distributions import diagonal_normal
from elbox.objectives import ELBO
from tests.components import FEATURES, LATENT, make

CLOSED = [(q, p) for q in ("DiagonalNormal", "FullNormal") for p in ("StandardNormal", "LearnedNormal")]


def pair(q: str, p: str, batch: int = 4) -> Group:
    """Posterior and prior in double precision, met in one group with a closed-form KL."""
    model = VAE(make(f"priors.{p}"), make("likelihoods.Gaussian"), make(f"posteriors.{q}")).double()
    x = torch.randn(batch, FEATURES, dtype=torch.float64)
    return AnalyticKL()(model, x, ELBO(samples=3)).terms.groups["z"]


def grid(half_width: float = 40.0, n: int = 801) -> tuple[Tensor, float]:
    """Nodes [n², 2] of the trapezoid rule, exponentially accurate for smooth densities, and the area of a cell."""
    axis = torch.linspace(-half_width, half_width, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), (axis[1] - axis[0]).item() ** 2


@pytest.mark.parametrize(("q", "p"), CLOSED)
def test_kl_is_the_integral(q: str, p: str) -> None:
    group, (z, area) = pair(q, p), grid()
    log_q = group.posterior.log_prob(z[:, None])
    integral = (log_q.exp() * (log_q - group.prior.log_prob(z[:, None]))).sum(0) * area
    torch.testing.assert_close(log_q.exp().sum(0) * area, torch.ones(4).double())
    torch.testing.assert_close(group.kl, integral, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("q", "p"), CLOSED)
def test_kl_is_the_mean_over_a_million_samples(q: str, p: str) -> None:
    group = pair(q, p)
    z = group.posterior.sample((1_000_000,))
    ratio = group.posterior.log_prob(z) - group.prior.log_prob(z)
    assert ((ratio.mean(0) - group.kl).abs() < 3 * ratio.std(0) / 1000).all()


@pytest.mark.parametrize("dims", [1, 2, 7])
def test_full_against_diagonal_is_full_against_full(dims: int) -> None:
    """KL(N(μ, LLᵀ) ‖ N(m, diag s²)) equals torch's KL of two full normals."""
    cholesky = torch.randn(5, dims, dims, dtype=torch.float64).tril(-1) + torch.diag_embed(
        torch.rand(5, dims).double() + 0.1
    )
    q = MultivariateNormal(torch.randn(5, dims, dtype=torch.float64), scale_tril=cholesky)
    m, s = torch.randn(dims, dtype=torch.float64), torch.rand(dims, dtype=torch.float64) + 0.5
    torch.testing.assert_close(
        kl_divergence(q, diagonal_normal(m, s)), kl_divergence(q, MultivariateNormal(m, torch.diag(s**2)))
    )


def test_full_with_diagonal_factor_is_diagonal() -> None:
    m, s = torch.randn(5, 3), torch.rand(5, 3) + 0.1
    p = diagonal_normal(torch.randn(3), torch.rand(3) + 0.1)
    full = MultivariateNormal(m, scale_tril=torch.diag_embed(s))
    torch.testing.assert_close(kl_divergence(full, p), kl_divergence(diagonal_normal(m, s), p))


def test_kl_by_hand() -> None:
    """Kingma & Welling (2014), appendix B: −½ Σ (1 + log σ² − μ² − σ²); with σ = 1 and μ = 2 it is 2 nats."""
    p = diagonal_normal(torch.zeros(2), torch.ones(2))
    assert kl_divergence(diagonal_normal(torch.tensor([2.0, 0.0]), torch.ones(2)), p).item() == pytest.approx(2.0)
    half = kl_divergence(diagonal_normal(torch.zeros(2), torch.tensor([0.5, 1.0])), p).item()
    assert half == pytest.approx(-0.5 * (1 + math.log(0.25) - 0.25))
    assert kl_divergence(p, p).item() == 0


def test_no_wrong_kl_for_another_product_distribution() -> None:
    q = MultivariateNormal(torch.zeros(2), torch.eye(2))
    with pytest.raises(NotImplementedError):
        kl_divergence(q, Independent(Laplace(torch.zeros(2), torch.ones(2)), 1))


@pytest.mark.parametrize("estimator", [AnalyticKL(), Reparameterized()])
@pytest.mark.parametrize("p", ["StandardNormal", "LearnedNormal"])
def test_rate_per_dimension_sums_to_the_rate(p: str, estimator: AnalyticKL | Reparameterized) -> None:
    model = VAE(make(f"priors.{p}"), make("likelihoods.Gaussian"), make("posteriors.DiagonalNormal"))
    group = estimator(model, torch.randn(4, FEATURES), ELBO(samples=3)).terms.groups["z"]
    assert group.rate_per_dimension().shape == (4, LATENT)
    torch.testing.assert_close(group.rate_per_dimension().sum(-1), group.rate)


@pytest.mark.parametrize(("q", "p"), [("FullNormal", "StandardNormal"), ("DiagonalNormal", "NormalMixture")])
def test_no_rate_per_dimension_where_dimensions_depend(q: str, p: str) -> None:
    model = VAE(make(f"priors.{p}"), make("likelihoods.Gaussian"), make(f"posteriors.{q}"))
    group = model.terms(torch.randn(4, FEATURES)).groups["z"]
    with pytest.raises(IncompatibleError, match="a rate per latent dimension needs prior and posterior that factorise"):
        group.rate_per_dimension()


def test_rate_is_measured_against_the_prior_that_generates() -> None:
    """A prior moved onto the posterior leaves no rate."""
    model = VAE(make("priors.LearnedNormal"), make("likelihoods.Gaussian"), make("posteriors.DiagonalNormal"))
    x = torch.randn(1, FEATURES)
    q = model.encode(x)
    with torch.no_grad():
        model.prior.mean.copy_(q.mean[0])
        log_scale = q.stddev[0].log()
        model.prior.log_scale.copy_(log_scale / (1 - log_scale.abs() / 10))
    estimate = AnalyticKL()(model, x, ELBO())
    assert estimate.terms.rate.item() == pytest.approx(0, abs=1e-6)
    assert estimate.objective.item() == pytest.approx(estimate.terms.log_px.item())
