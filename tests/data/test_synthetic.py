"""Synthetic sets: their evidence against quadrature, Monte Carlo and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elbox.data import load
from elbox.data.synthetic import Banana, Mixture, banana, belief_net, linear_gaussian, mixture
from elbox.errors import SettingError, ShapeError

SETS = {"linear_gaussian": linear_gaussian, "mixture": mixture, "banana": banana, "belief_net": belief_net}


def grid(low: float, high: float, n: int) -> tuple[torch.Tensor, float]:
    """Points [n², 2] of a square grid and the area of a cell."""
    axis = torch.linspace(low, high, n, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis), float(axis[1] - axis[0]) ** 2


@settings(deadline=None, max_examples=20)
@given(dims=st.integers(1, 12), latent=st.integers(1, 5), noise=st.floats(0.05, 3))
def test_linear_gaussian_is_a_normal(dims: int, latent: int, noise: float) -> None:
    known = linear_gaussian(20, dims, latent, noise, seed=1)
    W = known.W.numpy()
    covariance = W @ W.T + noise**2 * np.eye(dims)
    want = scipy.stats.multivariate_normal(np.zeros(dims), covariance).logpdf(known.x.numpy().astype(np.float64))
    np.testing.assert_allclose(known.log_evidence(known.x).numpy(), want, rtol=1e-8)


def test_linear_gaussian_posterior_obeys_bayes() -> None:
    known = linear_gaussian(5, dims=6, latent=3)
    z = torch.randn(5, 3, dtype=torch.float64)
    normal = torch.distributions.Normal
    joint = normal(0.0, 1.0).log_prob(z).sum(1) + normal(z @ known.W.T, known.noise).log_prob(known.x.double()).sum(1)
    torch.testing.assert_close(joint - known.posterior(known.x).log_prob(z), known.log_evidence(known.x))


def test_linear_gaussian_rows_have_the_stated_covariance() -> None:
    known = linear_gaussian(200_000, dims=4, latent=2)
    covariance = known.W @ known.W.T + known.noise**2 * torch.eye(4)
    torch.testing.assert_close(torch.cov(known.x.double().T), covariance, atol=0.06, rtol=0.02)


@pytest.mark.parametrize("known", [mixture(100), mixture(100, components=3, spread=0.7), banana(100), banana(100, 0.4)])
def test_densities_in_the_plane_integrate_to_one(known: Mixture | Banana) -> None:
    points, cell = grid(-16, 16, 1201)
    assert known.log_evidence(points).exp().sum().item() * cell == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("known", [mixture(200_000), banana(200_000)])
def test_rows_in_the_plane_follow_the_density(known: Mixture | Banana) -> None:
    """Moments of the rows and of the density by quadrature agree within Monte Carlo error."""
    points, cell = grid(-16, 16, 1201)
    p = known.log_evidence(points).exp() * cell
    for f in (lambda v: v, lambda v: v**2, lambda v: v.prod(1, keepdim=True), lambda v: (v.abs() < 1).double()):
        values = f(known.x.double())
        error = values.std(0) / len(values) ** 0.5
        assert ((values.mean(0) - (p[:, None] * f(points)).sum(0)).abs() < 5 * error + 2e-3).all()


def test_mixture_in_more_dimensions() -> None:
    known = mixture(50, dims=5, components=3)
    normal = [scipy.stats.multivariate_normal(m, known.spread**2 * np.eye(5)) for m in known.means.numpy()]
    want = np.log(sum(n.pdf(known.x.numpy().astype(np.float64)) / 3 for n in normal))
    np.testing.assert_allclose(known.log_evidence(known.x).numpy(), want, rtol=1e-8)


def test_entropy_is_what_the_rows_average_to() -> None:
    known = banana(200_000, spread=0.3)
    want = -(1 + math.log(2 * math.pi)) - math.log(0.3)  # bending preserves volume
    log_p = known.log_evidence(known.x)
    assert log_p.mean().item() == pytest.approx(want, abs=4 * log_p.std().item() / len(log_p) ** 0.5)


def test_belief_net_sums_to_one_over_all_data() -> None:
    known = belief_net(10, dims=8, latent=4)
    every = (torch.arange(256)[:, None] >> torch.arange(8) & 1).double()
    assert known.log_evidence(every).exp().sum().item() == pytest.approx(1, abs=1e-10)
    assert known.log_joint(every).exp().sum().item() == pytest.approx(1, abs=1e-10)


def test_belief_net_rows_follow_the_evidence() -> None:
    known = belief_net(200_000, dims=4, latent=3)
    every = (torch.arange(16)[:, None] >> torch.arange(4) & 1).double()
    p = known.log_evidence(every).exp()
    seen = torch.bincount((known.x.long() << torch.arange(4)).sum(1), minlength=16) / len(known.x)
    assert ((seen - p).abs() < 5 * (p * (1 - p) / len(known.x)).sqrt() + 1e-6).all()


@pytest.mark.parametrize("name", SETS)
def test_the_named_set_is_the_drawn_one(name: str) -> None:
    known, data = SETS[name](seed=2), load(name, seed=2)
    assert torch.equal(data.test.x.float(), known.x[torch.from_numpy(data.indices["test"])])
    assert known.log_evidence(data.test.x[:5]).shape == (5,)
    assert known.log_evidence(data.test.x[:5]).dtype == torch.float64


@pytest.mark.parametrize("name", SETS)
def test_seed_decides_and_shapes_are_checked(name: str) -> None:
    draw = SETS[name]
    assert torch.equal(draw(50, seed=4).x, draw(50, seed=4).x)
    assert not torch.equal(draw(50, seed=4).x, draw(50, seed=5).x)
    with pytest.raises(ShapeError, match="expected"):
        draw(50).log_evidence(torch.zeros(3, 77))
    with pytest.raises(SettingError, match="n=0"):
        draw(0)


def test_belief_net_stays_enumerable() -> None:
    with pytest.raises(SettingError, match="at most 10"):
        belief_net(latent=11)
