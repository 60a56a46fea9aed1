"""Streamed sums over samples: equal to the sums over all of them, however they are cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elbox import ELBO, DataSpec, recipes
from elbox.evaluate import bounds, evaluate, held_out, log_likelihood
from elbox.evaluate.chunks import Plan
from elbox.evaluate.weights import Sums, Weights, partial_sums


def streamed(log_w: torch.Tensor, chunk: int) -> Weights:
    weights = Weights()
    for part in log_w.split(chunk):
        weights.add(part)
    return weights


@given(st.integers(1, 40), st.integers(1, 50), st.floats(0.0, 300.0), st.integers(0, 100))
def test_streamed_weights_are_exact(samples: int, chunk: int, spread: float, seed: int) -> None:
    log_w = torch.randn(samples, 3, generator=torch.Generator().manual_seed(seed)).double() * spread - 1e4
    weights = streamed(log_w, chunk)
    expected = torch.logsumexp(log_w, 0) - math.log(samples)
    torch.testing.assert_close(weights.log_mean(), expected, rtol=1e-12, atol=0)
    normalised = torch.softmax(log_w, 0)
    torch.testing.assert_close(weights.effective(), 1 / normalised.square().sum(0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_effective_sample_size_is_between_one_and_s(chunk: int) -> None:
    assert streamed(torch.zeros(7, 2), chunk).effective().tolist() == pytest.approx([7, 7])
    one = torch.tensor([0.0] + 6 * [-1000.0])[:, None]
    assert streamed(one, chunk).effective().tolist() == pytest.approx([1])
    assert streamed(one.flip(0), chunk).effective().tolist() == pytest.approx([1])


def test_weights_of_zero_do_not_spoil_the_rest() -> None:
    log_w = torch.tensor([[-math.inf], [0.0], [-math.inf], [0.0]])
    weights = streamed(log_w, 1)
    assert weights.log_mean().item() == pytest.approx(math.log(0.5))
    assert weights.effective().item() == pytest.approx(2)


@pytest.mark.parametrize("sizes", [Plan(5, 3), Plan(2, 8), Plan(3, 1)], ids=str)
def test_what_evaluate_reports_is_that_of_all_samples_at_once(sizes: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terms that a plain loop sees, in the same order, give the same numbers."""
    model = recipes.vae(DataSpec((6,), "binary"), latent=3, hidden=(4,)).model
    x, samples = (torch.rand(5, 6) < 0.5).float(), 8
    monkeypatch.setattr(bounds, "plan", lambda *args, **options: sizes)
    result = evaluate(model, x, samples=samples, seed=4)
    torch.manual_seed(4)
    for start in range(0, 5, sizes.examples):
        batch = x[start : start + sizes.examples]
        counts = [min(sizes.samples, samples - done) for done in range(0, samples, sizes.samples)]
        with torch.no_grad():
            terms = [model.terms(batch, k) for k in counts]
        log_w, log_px = torch.cat([t.log_w for t in terms]).double(), torch.cat([t.log_px for t in terms]).double()
        rows = slice(start, start + sizes.examples)
        expected = {
            "log_likelihood": torch.logsumexp(log_w, 0) - math.log(samples),
            "distortion": -log_px.mean(0),
            "ess": 1 / torch.softmax(log_w, 0).square().sum(0),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(result.per_example[name][rows], value.numpy(), rtol=1e-6)


def test_means_over_samples_weigh_chunks_by_their_size() -> None:
    model = recipes.vae(DataSpec((6,), "binary"), latent=3, hidden=(4,)).model
    x = torch.ones(2, 6)
    with torch.no_grad():
        terms = [model.terms(x, k) for k in (5, 1)]
    sums = Sums()
    for t in terms:
        sums.add(partial_sums(t), len(t.log_px))
    expected = torch.cat([t.log_px for t in terms]).mean(0)
    torch.testing.assert_close(sums.mean("distortion").float(), -expected)


def test_chunks_do_not_matter_in_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recipes.vae(DataSpec((6,), "binary"), latent=3, hidden=(4,)).model
    x = torch.ones(1, 6).expand(1000, -1)
    found = []
    for seed, sizes in enumerate([Plan(1000, 10), Plan(77, 3)]):
        monkeypatch.setattr(bounds, "plan", lambda *args, sizes=sizes, **options: sizes)
        found.append(log_likelihood(model, x, 10, seed=seed))
    a, b = found
    error = math.sqrt(float(a.var() + b.var()) / 1000)
    assert abs(float(a.mean() - b.mean())) < 3 * error
    assert float(a.std() / b.std()) == pytest.approx(1, abs=0.15)


def test_held_out_is_the_mean_over_examples_whatever_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    model = recipes.vae(DataSpec((6,), "binary"), latent=3, hidden=(4,)).model
    x = (torch.rand(7, 6) < 0.5).float()
    rates = []
    for sizes in [Plan(7, 1), Plan(3, 1), Plan(1, 1)]:
        monkeypatch.setattr(bounds, "plan", lambda *args, sizes=sizes, **options: sizes)
        rates.append(held_out(model, x, ELBO())["rate"])
    assert rates == pytest.approx([evaluate(model, x, samples=1).rate.mean] * 3)
