"""Bounds against evidence that is known exactly: for every S, every size of chunk and every prior."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import zuko
from torch import Tensor, nn

from elbox import IWAE
from elbox.evaluate import bounds, evaluate, held_out, log_likelihood
from elbox.evaluate.chunks import Plan
from elbox.priors import NormalMixture, StandardNormal
from tests.evaluate.toys import LinearGaussian, Undescribed, bernoulli_vae, by_quadrature, learned_normal, two_of_five

SAMPLES = [1, 2, 7, 50, 1000]
CHUNKS = [Plan(64, 3), Plan(37, 300), Plan(1000, 999)]


def in_chunks(monkeypatch: pytest.MonkeyPatch, sizes: Plan) -> None:
    monkeypatch.setattr(bounds, "plan", lambda *args, **options: sizes)


def assert_mean(values: Tensor, expected: float, errors: float = 3.0) -> None:
    """The mean of independent values is as expected, within that many standard errors."""
    mean, se = float(values.mean()), float(values.std()) / math.sqrt(len(values))
    assert abs(mean - expected) < errors * se, (mean, expected, se)


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("prior", [lambda: StandardNormal(2), learned_normal], ids=["standard", "learned"])
def test_with_the_exact_posterior_every_number_is_the_evidence(prior: Callable[[], nn.Module], samples: int) -> None:
    known = LinearGaussian(prior())
    x = known.data(9)
    result = evaluate(known.model, x, samples=samples)
    exact = known.evidence.log_prob(x).numpy()
    np.testing.assert_allclose(result.per_example["log_likelihood"], exact, atol=1e-8)
    np.testing.assert_allclose(result.per_example["ess"], samples, rtol=1e-8)
    assert result.closed_form
    if samples == 1000:  # the ELBO still has the noise of the distortion
        assert abs(result.elbo.mean - exact.mean()) < 0.05


@pytest.mark.parametrize("sizes", CHUNKS, ids=str)
@pytest.mark.parametrize("samples", SAMPLES)
def test_the_evidence_is_estimated_without_bias(samples: int, sizes: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """E[(1/S) Σ w] = p(x) for every S: an average of chunk means would fail where the chunk does not divide S."""
    known = LinearGaussian(learned_normal(), wider=1.5)
    x = known.data(1)
    in_chunks(monkeypatch, sizes)
    estimates = log_likelihood(known.model, x.expand(1000 if samples < 1000 else 100, -1), samples, seed=samples)
    assert_mean((estimates - known.evidence.log_prob(x)).exp(), 1.0)


@pytest.mark.parametrize("samples", [1, 7, 50])
@pytest.mark.parametrize(
    ("prior", "latent"),
    [
        (lambda: StandardNormal(1), 1),
        (lambda: learned_normal(2), 2),
        (lambda: NormalMixture(1, 3), 1),
        (lambda: NormalMixture(2, 4), 2),
    ],
    ids=["standard-1", "learned-2", "mixture-1", "mixture-2"],
)
def test_any_prior_against_quadrature(
    prior: Callable[[], nn.Module], latent: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bernoulli_vae(prior(), latent)
    x = torch.tensor([1.0, 0, 0, 1, 1, 0])
    in_chunks(monkeypatch, Plan(600, 4))
    estimates = log_likelihood(model, x.expand(2000, -1), samples, seed=samples)
    assert_mean((estimates - by_quadrature(model, x, latent)).exp(), 1.0)


def test_a_flow_as_posterior_against_quadrature(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bernoulli_vae(StandardNormal(2), 2)
    torch.manual_seed(7)
    model.posterior = zuko.flows.MAF(2, 6, transforms=1, hidden_features=(8,))
    x = torch.tensor([1.0, 0, 0, 1, 1, 0])
    in_chunks(monkeypatch, Plan(600, 4))
    result = evaluate(model, x.expand(2000, -1), samples=7)
    estimates = torch.from_numpy(result.per_example["log_likelihood"])
    assert_mean((estimates - by_quadrature(model, x, 2)).exp(), 1.0)
    assert not result.closed_form


def test_elbo_and_rate_in_closed_form_and_by_sampling_agree() -> None:
    model, x = two_of_five(), torch.randn(1, 6).expand(2000, -1)
    closed = evaluate(model, x, samples=3)
    model.posterior = Undescribed(model.posterior)
    monte_carlo = evaluate(model, x, samples=3, seed=1)
    assert (closed.closed_form, monte_carlo.closed_form) == (True, False)
    assert_mean(torch.from_numpy(monte_carlo.per_example["rate"]), closed.rate.mean)
    assert closed.per_example["rate"].std() < 1e-6  # all examples are the same


def test_elbo_is_the_evidence_less_the_divergence_from_the_posterior() -> None:
    """log p(x) − ELBO = KL(q ‖ p(z|x)) = D (wider² − 1 − 2 log wider) / 2 for a posterior that is too wide."""
    wider = 1.3
    known = LinearGaussian(learned_normal(), wider=wider)
    x = known.data(1)
    result = evaluate(known.model, x.expand(4000, -1), samples=5)
    gap = 2 * (wider**2 - 1 - 2 * math.log(wider)) / 2
    assert_mean(torch.from_numpy(result.per_example["elbo"]), float(known.evidence.log_prob(x)) - gap)


def test_the_bound_rises_with_the_number_of_samples() -> None:
    known = LinearGaussian(StandardNormal(2), wider=2.0)
    x = known.data(2000)
    bound = [float(log_likelihood(known.model, x, samples, seed=samples).mean()) for samples in (1, 2, 5, 20, 200)]
    assert bound == sorted(bound)
    assert bound[-1] < float(known.evidence.log_prob(x).mean()) + 0.01
    elbo = evaluate(known.model, x, samples=1).elbo
    assert abs(bound[0] - elbo.mean) < 5 * elbo.se


def test_the_importance_weighted_bound_held_out_is_that_of_its_k() -> None:
    known = LinearGaussian(StandardNormal(2), wider=2.0)
    x = known.data(1).expand(4000, -1)
    values = held_out(known.model, x, IWAE(samples=7))
    other = log_likelihood(known.model, x, 7, seed=3)
    assert_mean(other, values["bound"], errors=4.5)  # both are random: 3 √2
    assert values["elbo"] < values["bound"] < float(known.evidence.log_prob(x[0]))
