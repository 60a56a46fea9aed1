"""Bounds and estimates against the exact evidence of linear-Gaussian models."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import kl_divergence

from elbox import ELBO, IWAE, AnalyticKL, Path, Renyi, Reparameterized, Score
from tests.closed_form.linear import data, evidence, linear_gaussian, true_posterior

ALPHAS = (-1.0, 0.0, 0.5, 0.9, 2.0)


def se(t: Tensor) -> Tensor:
    """Standard error of the mean over the first axis."""
    return t.std(0) / math.sqrt(len(t))


@pytest.mark.parametrize("prior", ["standard", "learned"])
@pytest.mark.parametrize("posterior", ["full", "diagonal"])
def test_with_the_true_posterior_every_weight_is_the_evidence(posterior: str, prior: str) -> None:
    """log w = log p(x) for every sample, so every bound is exact and has no variance, for every K and S."""
    model, x = linear_gaussian(posterior, prior), data()
    exact = evidence(model, x)
    terms = model.terms(x, samples=7)
    torch.testing.assert_close(terms.log_w, exact.expand(7, -1))
    for objective in (ELBO(samples=7), IWAE(7), *(Renyi(a, 7) for a in ALPHAS)):
        torch.testing.assert_close(objective(terms), exact)
    for s in (1, 2, 33):
        torch.testing.assert_close(model.log_prob(x, samples=s), exact)


@pytest.mark.parametrize("estimator", [Reparameterized(), Path(), Score()])
def test_loss_is_minus_the_mean_evidence_for_every_batch_size(estimator: Reparameterized | Path | Score) -> None:
    model, x = linear_gaussian(), data(12)
    for objective in (ELBO(samples=2), IWAE(3), Renyi(0.5, 4)):
        for b in (1, 5, 12):
            torch.testing.assert_close(estimator(model, x[:b], objective).loss, -evidence(model, x[:b]).mean())


def test_exact_kl_and_exact_distortion_give_the_evidence() -> None:
    """AnalyticKL: the rate is exact, the distortion's mean over many samples makes up the rest of log p(x)."""
    model, x = linear_gaussian("full"), data(3)
    estimate = AnalyticKL()(model, x, ELBO(samples=200_000))
    exact = evidence(model, x)
    error = se(estimate.terms.log_px)
    assert ((estimate.objective - exact).abs() < 3 * error).all()
    q = true_posterior(model, x)
    rate = kl_divergence(q, torch.distributions.MultivariateNormal(torch.zeros_like(q.mean), torch.eye(2).double()))
    torch.testing.assert_close(estimate.terms.rate, rate)


@pytest.mark.parametrize("posterior", ["full", "diagonal"])
def test_gap_of_the_elbo_is_the_kl_to_the_true_posterior(posterior: str) -> None:
    """log p(x) − ELBO = KL(q(z|x) ‖ p(z|x)), within 3 standard errors."""
    model, x = linear_gaussian(posterior, "learned", exact=False), data()
    q = model.encode(x)
    full = torch.distributions.MultivariateNormal(
        q.mean, q.covariance_matrix if posterior == "full" else diag(q.variance)
    )
    gap = kl_divergence(full, true_posterior(model, x))
    log_w = model.terms(x, samples=100_000).log_w
    assert gap.min() > 0.01
    assert ((log_w.mean(0) + gap - evidence(model, x)).abs() < 3 * se(log_w)).all()


def diag(variance: Tensor) -> Tensor:
    return torch.diag_embed(variance)


@pytest.mark.parametrize("samples", [1, 3, 50, 1000])
@pytest.mark.parametrize("prior", ["standard", "learned", "mixture", "zuko"])
def test_log_prob_is_unbiased_in_probability(prior: str, samples: int) -> None:
    """E[p̂(x)] = p(x) for every S and every prior, so E[exp(log_prob − log p)] = 1, within 3 standard errors."""
    model, x = linear_gaussian("full", prior, exact=False), data(4)
    exact, repeats = evidence(model, x), max(200, 20_000 // samples)
    estimates = model.log_prob(x.repeat_interleave(repeats, 0), samples).unflatten(0, (4, repeats)).T
    ratio = (estimates - exact).exp()
    assert ((ratio.mean(0) - 1).abs() < 3 * se(ratio)).all()
    assert (estimates.mean(0) < exact + 3 * se(estimates)).all()
    if samples == 1000:  # enough for the estimate itself, whose bias is half its variance
        assert ((estimates.mean(0) - exact).abs() < 3 * se(estimates) + estimates.var(0)).all()


def bounds_of_growing_k(log_w: Tensor) -> dict[int, Tensor]:
    """L_K for K = 1, 2, 4, ... from one pool of samples [64, B, R], each an average over the pool's disjoint groups."""
    k = (1, 2, 4, 8, 16, 32, 64)
    return {n: (torch.logsumexp(log_w.unflatten(0, (n, -1)), 0) - math.log(n)).mean(0) for n in k}


def test_iwae_rises_with_k_and_stays_below_the_evidence() -> None:
    """Burda et al. (2016), theorem 1: L_1 ≤ L_2 ≤ … ≤ log p(x), in the mean over 400 repetitions, by 3 s.e. each."""
    model, x = linear_gaussian("full", exact=False), data(4)
    log_w = model.terms(x.repeat_interleave(400, 0), samples=64).log_w.detach().unflatten(1, (4, 400))
    bounds = bounds_of_growing_k(log_w)
    for small, large in itertools.pairwise(bounds):
        rise = (bounds[large] - bounds[small]).T  # [R, B], paired
        assert (rise.mean(0) > -3 * se(rise)).all()
        assert rise.mean() > 3 * rise.mean(1).std() / math.sqrt(400), (small, large)
    for bound in bounds.values():
        assert (bound.mean(1) < evidence(model, x) + 3 * se(bound.T)).all()
    one = IWAE(64)(model.terms(x.repeat_interleave(400, 0), samples=64)).unflatten(0, (4, 400)).detach()
    assert (
        (one.mean(1) - bounds[64].mean(1)).abs() < 3 * (se(one.T).square() + se(bounds[64].T).square()).sqrt()
    ).all()


def test_renyi_falls_with_alpha_on_the_same_samples() -> None:
    """L_α is the log of the weights' power mean of order 1 − α, which grows with its order; the ELBO is order 0."""
    model, x = linear_gaussian("full", exact=False), data()
    terms = model.terms(x, samples=10)
    values = (
        [Renyi(a, 10)(terms) for a in (-2.0, -1.0, 0.0, 0.5, 0.99)]
        + [terms.elbo]
        + [Renyi(a, 10)(terms) for a in (1.01, 2.0)]
    )
    for larger, smaller in itertools.pairwise(values):
        assert (larger > smaller).all()
    assert (values[0] < terms.log_w.max(0).values).all()
    assert (values[-1] > terms.log_w.min(0).values).all()


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
def test_renyi_with_alpha_at_least_zero_is_a_lower_bound(alpha: float) -> None:
    model, x = linear_gaussian("diagonal", exact=False), data(4)
    values = Renyi(alpha, 5)(model.terms(x.repeat_interleave(2000, 0), samples=5)).detach().unflatten(0, (4, -1))
    assert (values.mean(1) < evidence(model, x) + 3 * se(values.T)).all()
