"""Posteriors whose rate has a floor, and the prior that gives one to those that are independent over time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

import elbox
from elbox import ELBO, VAE, SettingError, ShapeError, Training
from elbox.distributions import diagonal_normal
from elbox.nn import MLP
from elbox.posteriors import BatchNormalized, CommittedNormal, DiagonalNormal
from elbox.priors import AR1, StandardNormal

STANDARD = StandardNormal(2)()


class Given(nn.Module):
    """Outputs as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return x


# ── BatchNormalized ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("gamma", [0.0, 0.6, 1.5])
def test_mean_rate_of_a_batch_has_the_floor(gamma: float) -> None:
    """½ Σ_d (γ² + β_d²), reached where all scales are 1."""
    torch.manual_seed(0)
    q = BatchNormalized(Given(), 2, gamma).double()
    with torch.no_grad():
        q.shift.copy_(torch.tensor([0.3, -1.0]))
    floor = 0.5 * (2 * gamma**2 + 0.09 + 1.0)
    h = torch.randn(500, 2, 2, dtype=torch.float64) * torch.tensor([[3.0, 7.0], [1.0, 1.0]])
    h = h + torch.tensor([[100.0, 0.0], [0.0, 0.0]])
    assert kl_divergence(q(h), STANDARD).mean() > floor
    h[:, 1] = 0
    assert kl_divergence(q(h), STANDARD).mean().item() == pytest.approx(floor, rel=1e-5)
    torch.testing.assert_close(q(h).mean.mean(0), q.shift.detach(), rtol=0, atol=1e-9)


def test_evaluation_uses_running_moments() -> None:
    """A function of the example alone; with momentum 1 that of the last batch (its unbiased variance)."""
    torch.manual_seed(0)
    q, h = BatchNormalized(MLP(5, [], (2, 2)), 2, momentum=1.0), torch.randn(50, 5)
    trained = q(h).mean
    q.eval()
    again = q(h).mean
    torch.testing.assert_close(again, trained * math.sqrt(49 / 50), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(q(h[7:8]).mean[0], again[7])
    other = BatchNormalized(MLP(5, [], (2, 2)), 2, momentum=1.0).eval()
    other.load_state_dict(q.state_dict())
    assert torch.equal(other(h).mean, again)


def test_one_example_cannot_be_normalised() -> None:
    q = BatchNormalized(MLP(5, [], (2, 2)), 2)
    with pytest.raises(ShapeError, match="got one example for BatchNormalized in training; expected at least two"):
        q(torch.ones(1, 5))
    assert q.eval()(torch.ones(1, 5)).mean.shape == (1, 2)
    with pytest.raises(ShapeError, match=r"make the network with BatchNormalized.output_shape\(2\)"):
        BatchNormalized(MLP(5, [], 2), 2)(torch.ones(3, 5))


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_does_not_collapse(compile: bool) -> None:
    """On noise that no code explains, the mean rate stays above its floor; running moments are those of training."""
    torch.manual_seed(0)
    x = (torch.rand(256, 5) < 0.5).float()
    recipe = elbox.recipes.bn_vae(elbox.DataSpec((5,), "binary"), latent=2, hidden=(6,), gamma=0.6)
    step = elbox.train.step.Step(recipe.model, recipe.objective, recipe.estimator)
    setting = Training(epochs=60, batch_size=128, lr=0.02, compile=compile, device="cpu", precision="32")
    result = elbox.train.train(step, x, setting)
    rates = [row["rate"] for row in result.history if row["split"] == "train"]
    assert min(rates) >= 0.5 * 2 * 0.36 - 1e-3
    assert rates[-1] < 0.5
    q = recipe.model.posterior.eval()
    assert (q.running_mean != 0).all()
    assert kl_divergence(q(x), STANDARD).mean().item() == pytest.approx(rates[-1], abs=0.1)


# ── CommittedNormal ─────────────────────────────────────────────────────────────────────────────────────────────────

NUMBERS = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=300, deadline=None)
@given(NUMBERS, NUMBERS, st.sampled_from([1e-3, 0.1, 1.0, 7.9]))
def test_rate_of_each_dimension_has_the_floor(h: float, s: float, rate: float) -> None:
    """For every output of the network; with a finite gradient."""
    at = torch.tensor([[[h], [s]]], requires_grad=True)
    q = CommittedNormal(Given(), 1, rate)(at)
    kl = kl_divergence(q, StandardNormal(1)())
    assert kl >= rate * (1 - 1e-3) - 1e-5
    (slope,) = torch.autograd.grad(kl.sum(), at)
    assert slope.isfinite().all()


@pytest.mark.parametrize("rate", [0.01, 1.0, 6.0])
def test_floor_is_reached_and_scales_span_the_interval(rate: float) -> None:
    q = CommittedNormal(Given(), 1, rate).double()
    for scale in (q.lower, q.upper):
        assert 0.5 * (scale**2 - 1 - 2 * math.log(scale)) == pytest.approx(rate)
    assert q.lower < 1 < q.upper
    low = q(torch.tensor([[[-60.0], [0.3]]], dtype=torch.float64))
    assert kl_divergence(low, StandardNormal(1)()).item() == pytest.approx(rate)
    assert kl_divergence(q(torch.tensor([[[50.0], [0.3]]]).double()), StandardNormal(1)()) > rate + 10


@pytest.mark.parametrize("rate", [0.0, -1.0, 17.0])
def test_bad_rates(rate: float) -> None:
    with pytest.raises(SettingError, match="got rate="):
        CommittedNormal(Given(), 2, rate)


def test_collapse_is_impossible() -> None:
    torch.manual_seed(0)
    x = (torch.rand(256, 5) < 0.5).float()
    recipe = elbox.recipes.delta_vae(elbox.DataSpec((5,), "binary"), latent=2, hidden=(6,), rate=1.0)
    step = elbox.train.step.Step(recipe.model, recipe.objective, recipe.estimator)
    elbox.train.train(step, x, Training(epochs=40, batch_size=128, lr=0.02, device="cpu", precision="32"))
    rate = kl_divergence(recipe.model.encode(x), STANDARD)
    assert rate.min() > 0.999
    assert rate.mean() < 1.3


# ── AR1 ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_density_is_that_of_its_steps() -> None:
    """N(z_1; 0, I) Π_t N(z_t; α z_{t−1}, 1 − α²), channel by channel."""
    torch.manual_seed(0)
    p, alpha = AR1(4, 2, (0.8, -0.3)).double(), torch.tensor([0.8, -0.3]).double()
    z = torch.randn(7, 4, 2, dtype=torch.float64)
    steps = torch.distributions.Normal(alpha * z[:, :-1], (1 - alpha.square()).sqrt()).log_prob(z[:, 1:])
    first = torch.distributions.Normal(0.0, 1.0).log_prob(z[:, 0])
    torch.testing.assert_close(p().log_prob(z.flatten(1)), first.sum(1) + steps.sum((1, 2)))


@pytest.mark.parametrize(("length", "alpha"), [(2, (0.5, 0.9)), (6, (0.95, -0.4))])
def test_no_posterior_independent_over_time_goes_below_the_floor(length: int, alpha: tuple[float, ...]) -> None:
    """It is the minimum over all diagonal normals, found by descent too."""
    p = AR1(length, 2, alpha).double()
    best = diagonal_normal(torch.zeros(2 * length).double(), p().precision_matrix.diagonal().rsqrt())
    assert kl_divergence(best, p()).item() == pytest.approx(p.rate)
    free = [torch.ones(2 * length, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.Adam(free, lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        kl = kl_divergence(diagonal_normal(free[0], free[1].exp()), p())
        kl.backward()
        optimizer.step()
    assert p.rate - 1e-6 < kl.item() < p.rate + 5e-3


def test_closed_form_is_torchs() -> None:
    """KL(diagonal ‖ full) against torch's of two full ones, and in training with AnalyticKL."""
    torch.manual_seed(0)
    p = AR1(3, 1).double()()
    mean, scale = torch.randn(5, 3, dtype=torch.float64), torch.rand(5, 3, dtype=torch.float64) + 0.1
    full = MultivariateNormal(mean, scale_tril=torch.diag_embed(scale))
    other = MultivariateNormal(p.loc, scale_tril=p.scale_tril)
    torch.testing.assert_close(kl_divergence(diagonal_normal(mean, scale), p), kl_divergence(full, other))
    model = VAE(AR1(3, 1), elbox.likelihoods.Bernoulli(MLP(3, [], 5)), DiagonalNormal(MLP(5, [], (2, 3)), 3))
    assert elbox.AnalyticKL()(model, torch.ones(4, 5), ELBO()).loss.isfinite()


@pytest.mark.parametrize("correlation", [1.0, -1.0, (0.5,), (0.5, 1.2)])
def test_bad_correlations(correlation: float | tuple[float, ...]) -> None:
    with pytest.raises(SettingError, match=r"expected a number between −1 and 1, or one for each of 2 channels"):
        AR1(3, 2, correlation)
