"""Spike and slab, experts, and the logistic normal: against quadrature, products of densities and a Dirichlet."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Dirichlet

from elbox import VAE, IncompatibleError, SettingError, draws, likelihoods, posteriors, priors
from elbox.distributions import SpikeSlab
from elbox.distributions.support import check_rate
from elbox.nn import MLP, Columns

GRID = torch.linspace(-12, 12, 200_001, dtype=torch.float64)


def total(values: Tensor) -> Tensor:
    return values.sum(0) * (GRID[1] - GRID[0])


def leaves() -> list[Tensor]:
    given = ([-0.5, 1.0, 3.0], [1.0, -2.0, 0.1], [0.7, 1.3, 0.5], [0.1, 0.3, 0.05])
    return [torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in given]


def test_density_integrates_to_one_with_its_moments() -> None:
    d = SpikeSlab(*leaves())
    density = d.log_prob(GRID[:, None]).exp()
    torch.testing.assert_close(total(density), torch.ones(3).double())
    torch.testing.assert_close(total(density * GRID[:, None]), d.mean)
    torch.testing.assert_close(total(density * (GRID[:, None] - d.mean).square()), d.variance)


def test_reparameterised_gradient_is_unbiased() -> None:
    """∂E[f(z)] of all four parameters, against quadrature."""
    torch.manual_seed(0)
    given, n = leaves(), 40

    def f(z: Tensor) -> Tensor:
        return torch.sin(2 * z + 0.5) + 0.2 * z.square()

    wanted = torch.autograd.grad(total(SpikeSlab(*given).log_prob(GRID[:, None]).exp() * f(GRID[:, None])).sum(), given)
    found = [torch.autograd.grad(f(SpikeSlab(*given).rsample((20_000,))).mean(0).sum(), given) for _ in range(n)]
    for i, gradient in enumerate(wanted):
        estimates = torch.stack([g[i] for g in found])
        error = estimates.std(0) / math.sqrt(n)
        assert ((estimates.mean(0) - gradient).abs() < 4 * error + 1e-9).all(), i
        assert (error < 0.05).all(), i


@settings(max_examples=40, deadline=None)
@given(st.floats(-10, 10), st.floats(-100, 100), st.floats(-6, 6), st.floats(0.01, 1.0))
def test_finite_over_the_range(logit: float, loc: float, log_scale: float, spike: float) -> None:
    """Values and gradients of draws and densities, in single precision."""
    given = [torch.tensor(v, requires_grad=True) for v in (logit, loc, math.exp(log_scale), spike)]
    z = SpikeSlab(*given).rsample((50,))
    value = SpikeSlab(*given).log_prob(z)
    assert value.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(value.sum() + z.sum(), given))


def test_sparse_posterior_has_no_rate_at_the_prior() -> None:
    y = math.log(0.25)  # the logit of 0.2

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logit = y / (1 - abs(y) / 10)  # which is clipped to y
            return torch.tensor([[logit], [0.0], [0.0]]).expand(len(x), 3, 2)

    q, p = posteriors.SpikeSlab(Constant(), 2, spike=0.05)(torch.zeros(4, 1)), priors.SpikeSlab(2, 0.2, 0.05)()
    z = p.sample((1000, 4))
    torch.testing.assert_close(q.log_prob(z), p.log_prob(z))
    assert float((z.abs() < 0.2).float().mean()) == pytest.approx(0.8 + 0.2 * 0.16, abs=0.02)
    assert draws.reparameterized(posteriors.SpikeSlab(Constant(), 2), torch.zeros(4, 1), 3).z.shape == (3, 4, 2)


def test_cauchy_posterior_is_refused_with_a_spike_and_slab() -> None:
    with pytest.raises(IncompatibleError, match="infinite"):
        check_rate(torch.distributions.Cauchy(torch.zeros(2), torch.ones(2)), priors.SpikeSlab(2)())
    with pytest.raises(SettingError, match=r"got share=1.0; expected a share"):
        priors.SpikeSlab(2, share=1.0)


def experts() -> list[posteriors.DiagonalNormal]:
    return [posteriors.DiagonalNormal(Columns(MLP(2, [4], (2, 1)), i, i + 2), 1) for i in range(3)]


@pytest.mark.parametrize("prior_expert", [True, False])
def test_product_of_experts_is_the_product_of_their_densities(prior_expert: bool) -> None:
    parts, x = experts(), torch.randn(5, 4)
    q = posteriors.ProductOfExperts(parts, prior_expert=prior_expert)(x)
    with torch.no_grad():
        log = sum(part(x).log_prob(GRID[:, None, None].float()).double() for part in parts)
        log = log - 0.5 * GRID[:, None].square() * prior_expert
        log = log - torch.log(total(torch.exp(log)))
        torch.testing.assert_close(
            q.log_prob(GRID[::1000, None, None].float()).double(), log[::1000], rtol=1e-3, atol=1e-3
        )


def test_mixture_of_experts_is_the_mean_of_their_densities() -> None:
    parts, x, z = experts(), torch.randn(5, 4), torch.randn(7, 5, 1)
    by_hand = torch.stack([part(x).log_prob(z) for part in parts]).logsumexp(0) - math.log(3)
    torch.testing.assert_close(posteriors.MixtureOfExperts(parts)(x).log_prob(z), by_hand)


def test_experts_must_be_normal() -> None:
    odd = posteriors.FullNormal(MLP(4, [4], (3, 1)), 1)
    for cls in (posteriors.ProductOfExperts, posteriors.MixtureOfExperts):
        with pytest.raises(IncompatibleError, match=r"got a FullNormal among experts.*use DiagonalNormal experts"):
            cls([odd])(torch.zeros(2, 4))
        with pytest.raises(SettingError, match="got no experts"):
            cls([])


@pytest.mark.parametrize("alpha", [5.0, (3.0, 4.0, 10.0, 6.0)])
def test_logistic_normal_is_close_to_a_dirichlet(alpha: float | tuple[float, ...]) -> None:
    """Means and spreads of the proportions, for concentrations at which Laplace's approximation is good."""
    torch.manual_seed(0)
    prior = priors.LogisticNormal(4, alpha)
    theta = torch.softmax(prior().sample((100_000,)), -1)
    exact = Dirichlet(torch.as_tensor(alpha, dtype=torch.float32).expand(4))
    torch.testing.assert_close(theta.mean(0), exact.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(theta.std(0), exact.stddev, rtol=0.2, atol=0)
    z = prior().mean
    torch.testing.assert_close(torch.softmax(z, -1), exact.mean)  # the mode in this basis is the Dirichlet's mean


@pytest.mark.parametrize("alpha", [0.0, -1.0, (1.0, 2.0)])
def test_logistic_normal_refuses(alpha: float | tuple[float, ...]) -> None:
    with pytest.raises(SettingError, match="expected 1 or 4 numbers > 0"):
        priors.LogisticNormal(4, alpha)


def test_spike_and_slab_goes_with_other_real_parts() -> None:
    x = torch.ones(3, 5)
    decoder = likelihoods.Bernoulli(MLP(2, [], 5))
    sparse = posteriors.SpikeSlab(MLP(5, [6], (3, 2)), 2)
    for prior, q in (
        (priors.StandardNormal(2), sparse),
        (priors.SpikeSlab(2), posteriors.DiagonalNormal(MLP(5, [6], (2, 2)), 2)),
    ):
        assert VAE(prior, decoder, q).terms(x, 4).elbo.isfinite().all()
