"""Likelihoods of values in [0, 1]: the continuous Bernoulli through λ = ½ and at its ends, and the beta."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from torch.autograd import gradcheck

from elbox import DataSpec, likelihoods
from elbox.distributions import Beta, ContinuousBernoulli
from elbox.likelihoods.continuous_bernoulli import natural
from tests.closed_form.test_likelihoods import Put

NATURAL = [0.0, 1e-12, 1e-6, 1e-3, 0.0999, 0.1001, 0.5, 3.0, 30.0, 700.0, 1e5]
X = torch.linspace(0, 1, 11)


def reference(eta: float) -> tuple[float, float]:
    """log ∫ e^{ηx} dx and its derivative, the mean, to 30 digits."""
    from mpmath import coth, expm1, log, mp, mpf

    mp.dps = 40
    t = mpf(eta)
    return (0.0, 0.5) if eta == 0 else (float(log(expm1(t) / t)), float((1 + coth(t / 2)) / 2 - 1 / t))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("eta", NATURAL)
def test_normaliser_mean_and_gradient(eta: float, sign: int) -> None:
    """log p = ηx − log((e^η − 1)/η), mean = ∂/∂η of the latter, ∂ log p/∂η = x − mean; to 12 digits, 7 in float32."""
    normaliser, mean = reference(sign * eta)
    for dtype, tolerance in ((torch.float64, 1e-11), (torch.float32, 3e-6)):
        x = X.to(dtype)
        t = torch.tensor(sign * eta, dtype=dtype).expand(11).clone().requires_grad_()
        p = ContinuousBernoulli(t)
        log_p = p.log_prob(x)
        log_p.sum().backward()
        expected = sign * eta * X.double() - normaliser
        torch.testing.assert_close(log_p.double(), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(t.grad.double(), X.double() - mean, rtol=0, atol=tolerance)
        assert p.mean[0].item() == pytest.approx(mean, abs=tolerance)


def test_normaliser_of_torch_is_not_exact() -> None:
    """Why elbox has its own: torch's clamps λ at the ends and cancels near ½, in float32."""
    near, end = torch.tensor(-0.006), torch.tensor(40.0)
    for eta, error in ((near, 1e-6), (end, 0.5)):
        exact = 0.25 * eta.double().item() - reference(eta.double().item())[0]
        theirs = torch.distributions.ContinuousBernoulli(logits=eta).log_prob(torch.tensor(0.25)).item()
        assert abs(theirs - exact) > error
        assert ContinuousBernoulli(eta).log_prob(torch.tensor(0.25)).item() == pytest.approx(exact, rel=3e-7, abs=1e-7)


@pytest.mark.parametrize("eta", [-30.0, -0.3, 0.05, 2.0])
def test_density_integrates_to_one(eta: float) -> None:
    p = ContinuousBernoulli(torch.tensor(eta, dtype=torch.float64))
    total = quad(lambda x: p.log_prob(torch.tensor(x, dtype=torch.float64)).exp().item(), 0, 1, epsabs=1e-12)[0]
    assert total == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("eta", [-1e5, -8.0, -1e-3, 0.0, 0.05, 2.0, 500.0])
def test_samples_follow_the_distribution(eta: float) -> None:
    """Kolmogorov–Smirnov against (e^{ηx} − 1)/(e^η − 1), of the distance from the likelier end."""
    x = ContinuousBernoulli(torch.tensor(eta, dtype=torch.float64)).sample((20_000,))
    assert ((x >= 0) & (x <= 1)).all()
    distance, a = (1 - x if eta > 0 else x), max(abs(eta), 1e-9)
    assert (
        stats.kstest(distance.numpy(), lambda d: -torch.expm1(torch.tensor(-a * d)).numpy() / -math.expm1(-a)).pvalue
        > 1e-3
    )


def test_gradcheck_through_one_half() -> None:
    eta = torch.tensor([-2.0, -0.1001, -0.0999, -1e-4, 1e-4, 0.0999, 0.1001, 5.0], dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda t: ContinuousBernoulli(t).log_prob(torch.tensor(0.3, dtype=torch.float64)), (eta,))
    assert gradcheck(lambda t: ContinuousBernoulli(t).mean, (eta,))


@settings(max_examples=50, deadline=None)
@given(mean=st.floats(0.001, 0.999))
def test_natural_parameter_of_a_mean(mean: float) -> None:
    eta = natural(torch.tensor(mean, dtype=torch.float64))
    assert ContinuousBernoulli(eta).mean.item() == pytest.approx(mean, abs=1e-12)


# ── beta ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("a", "b"), [(0.01, 0.02), (0.5, 0.5), (2.0, 5.0), (300.0, 40.0), (5e4, 5e4)])
def test_beta_is_that_of_scipy(a: float, b: float) -> None:
    p = Beta(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
    x = torch.tensor([1e-9, 0.01, 0.3, 0.5, 0.9, 1 - 1e-9], dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(x), torch.tensor(stats.beta.logpdf(x.numpy(), a, b)), rtol=1e-9, atol=1e-8)
    assert (p.mean.item(), p.variance.item()) == (
        pytest.approx(stats.beta.mean(a, b)),
        pytest.approx(stats.beta.var(a, b)),
    )


def test_beta_in_single_precision() -> None:
    """At its peak, where terms of size α cancel: to their own rounding."""
    for a in (0.5, 30.0, 500.0, 5e4):
        exact = stats.beta.logpdf(0.5, a, a)
        p = Beta(torch.tensor(a), torch.tensor(a))
        assert p.log_prob(torch.tensor(0.5)).item() == pytest.approx(exact, abs=2e-6 * max(a, 1))


@pytest.mark.parametrize(("a", "b"), [(1e-9, 2e-9), (0.05, 0.02), (0.5, 0.5), (2.0, 5.0), (1e6, 1e5)])
def test_beta_samples(a: float, b: float) -> None:
    """In the open interval, never NaN, with the right mean; and by Kolmogorov–Smirnov where scipy has the function."""
    p = Beta(torch.tensor(a), torch.tensor(b))
    x = p.sample((20_000,))
    assert ((x > 0) & (x < 1)).all()
    assert abs(x.mean() - p.mean) <= 4 * x.std() / math.sqrt(20_000)
    if 0.1 < a < 10:
        assert stats.kstest(x.numpy(), stats.beta(a, b).cdf).pvalue > 1e-3


def test_beta_starts_with_mean_and_spread_of_the_data() -> None:
    spec = DataSpec((2,), "unit", offset=(0.2, 0.7), scale=0.15)
    p = likelihoods.Beta.for_data(Put(torch.zeros(2, 2)), spec)(torch.zeros(1))
    torch.testing.assert_close(p.mean, torch.tensor([0.2, 0.7]))
    torch.testing.assert_close(p.stddev, torch.tensor([0.15, 0.15]))
