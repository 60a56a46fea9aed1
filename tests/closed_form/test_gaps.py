"""Annealed bounds, local posteriors and Pareto shapes against linear-Gaussian models and exact tails."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
import torch
from torch import Tensor
from torch.distributions import Dirichlet

import elbox
from elbox import DataSpec, IncompatibleError, SettingError
from elbox.evaluate import annealed, bracket, gaps, pareto_smoothed
from elbox.evaluate.joint import Joint
from elbox.evaluate.local import elbo_of, fitted
from elbox.evaluate.psis import pareto_fit
from tests.closed_form.linear import affine, data, evidence, linear_gaussian, set_to_truth, true_posterior
from tests.evaluate.toys import bernoulli_vae, by_quadrature

local_module = sys.modules[fitted.__module__]


def se(values: Tensor) -> float:
    return float(values.std()) / math.sqrt(len(values))


def diagonal_gap(model: elbox.VAE, x: Tensor) -> float:
    """KL of the best diagonal normal to N(m, Λ⁻¹): ½ (Σ_d log Λ_dd − log det Λ), at variances 1/Λ_dd."""
    precision = true_posterior(model, x).precision_matrix.reshape(-1, 2, 2)[0].detach()
    return 0.5 * float(precision.diagonal().log().sum() - precision.logdet())


def correlated() -> elbox.VAE:
    """The columns of W are nearly parallel, so that latent dimensions are correlated given x; the encoder is off."""
    model = linear_gaussian("full", "learned")
    with torch.no_grad():
        weight = affine(model.likelihood.net)[0]
        weight[:, 1] = 0.8 * weight[:, 0] + 0.3 * weight[:, 1]
        set_to_truth(model)
        for t in model.posterior.parameters():
            t.add_(0.1 * torch.randn_like(t))
    return model


# Annealed importance sampling


@pytest.mark.parametrize("from_posterior", [False, True])
@pytest.mark.parametrize("prior", ["standard", "learned", "mixture", "zuko"])
def test_weights_are_unbiased_and_the_bound_is_below(prior: str, from_posterior: bool) -> None:
    """E[w] = p(x) with few temperatures and one chain too, from an encoder that is off, for every prior."""
    torch.manual_seed(3)
    model, x = linear_gaussian("full", prior, exact=False, off=0.1), data(3)
    many, exact = x.repeat_interleave(300, 0), evidence(model, x)
    found = annealed(model, many, temperatures=12, chains=1, leapfrogs=3, from_posterior=from_posterior)
    estimates = torch.from_numpy(found.per_example).unflatten(0, (3, 300)).T
    ratio = (estimates - exact).exp()
    assert ((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / math.sqrt(300)).all()
    assert (estimates.mean(0) < exact + 3 * estimates.std(0) / math.sqrt(300)).all()
    assert 0.3 < found.acceptance <= 1


@pytest.mark.parametrize("from_posterior", [False, True])
def test_reverse_weights_are_unbiased_in_the_reciprocal(from_posterior: bool) -> None:
    """E[1/w] = 1/p(x) from exact draws of p(z|x); the upper bound is above, on examples of the model itself."""
    torch.manual_seed(3)
    model = linear_gaussian("full", "learned", exact=False, off=0.1)
    torch.manual_seed(7)
    found = bracket(model, 900, temperatures=30, chains=1, leapfrogs=5, from_posterior=from_posterior, seed=7)
    exact = evidence(model, simulated(model, 900, seed=7))
    lower, upper = (torch.from_numpy(found.per_example[name]) for name in ("lower", "upper"))
    for ratio in ((lower - exact).exp(), (exact - upper).exp()):
        assert abs(float(ratio.mean()) - 1) < 4 * se(ratio)
    assert float((lower - exact).mean()) < 3 * se(lower - exact)
    assert float((upper - exact).mean()) > -3 * se(upper - exact)
    assert found.width.mean == pytest.approx(found.upper.mean - found.lower.mean)


def simulated(model: elbox.VAE, n: int, seed: int) -> Tensor:
    """The examples that `bracket` draws first of all."""
    from elbox.evaluate.annealed import _simulated
    from elbox.evaluate.scope import measuring

    with measuring(model, seed):
        return _simulated(model, n, None)[1]


def test_bracket_closes_with_temperatures() -> None:
    torch.manual_seed(3)
    model = linear_gaussian("full", "mixture", exact=False)
    coarse, fine = (bracket(model, 200, temperatures=t, chains=4, leapfrogs=4) for t in (4, 60))
    assert coarse.width.mean > 0.1
    assert 0 < fine.width.mean + 3 * fine.width.se < 0.5 * coarse.width.mean
    assert fine.lower.mean > coarse.lower.mean - 3 * coarse.lower.se


def test_annealing_does_not_need_the_encoder() -> None:
    """q = N(0, 1.5²) whatever x is, a non-linear decoder: exact by quadrature."""
    model = bernoulli_vae(elbox.priors.NormalMixture(2, 3), 2)
    x = torch.rand(6, 6, generator=torch.Generator().manual_seed(0)).round()
    exact = torch.stack([by_quadrature(model, row[None], 2) for row in x])
    found = annealed(model, x, temperatures=100, chains=32)
    assert torch.from_numpy(found.per_example).sub(exact).abs().max() < 0.08


def test_numbers_are_those_of_the_seed_and_do_not_depend_on_the_budget() -> None:
    """Another memory cuts the examples into other parts: other noise, the same estimates."""
    torch.manual_seed(3)
    model, x = linear_gaussian("full", exact=False), data(12)
    first, again, other = (annealed(model, x, temperatures=20, chains=4, leapfrogs=4, seed=s) for s in (0, 0, 1))
    assert (first.per_example == again.per_example).all()
    assert (first.per_example != other.per_example).any()
    small = annealed(model, x, temperatures=20, chains=4, leapfrogs=4, memory=1)
    difference = torch.from_numpy(small.per_example - first.per_example)
    assert abs(float(difference.mean())) < 4 * se(difference)
    assert difference.abs().max() < 3


def test_condition_reaches_prior_likelihood_and_simulation() -> None:
    torch.manual_seed(0)
    likelihood = elbox.likelihoods.Bernoulli(elbox.nn.MLP(2, [4], 5, context=1))
    encoder = elbox.posteriors.DiagonalNormal(elbox.nn.MLP(5, [4], (2, 2), context=1), 2)
    model, done = elbox.VAE(elbox.priors.StandardNormal(2), likelihood, encoder), []
    x, c = torch.ones(7, 5), torch.linspace(-2, 2, 7)[:, None]
    found = gaps(model, x, samples=50, temperatures=8, steps=10, c=c, progress=lambda n, total: done.append((n, total)))
    assert done[-1] == (21, 21)
    assert len(set(found.per_example["annealed"].round(6))) == 7


# Local posteriors


@pytest.mark.slow
def test_gaps_are_those_of_the_closed_form() -> None:
    """Λ correlated: the diagonal's gap is ½(Σ log Λ_dd − log det Λ), that of a full covariance and of a flow is 0."""
    torch.manual_seed(5)
    model, x = correlated(), data(12)
    found = gaps(model, x, samples=1000, temperatures=60, chains=8)
    expected, exact = diagonal_gap(model, x), evidence(model, x)
    assert expected > 0.2, "else there is nothing to see"
    gap = {name: exact - torch.from_numpy(found.per_example[name]) for name in ("diagonal", "full", "flow")}
    assert float(gap["diagonal"].mean()) == pytest.approx(expected, abs=0.02 + 3 * se(gap["diagonal"]))
    assert abs(float(gap["full"].mean())) < 0.02
    assert abs(float(gap["flow"].mean())) < 0.03
    assert found.log_likelihood.mean == pytest.approx(float(exact.mean()), abs=0.05)
    assert found.approximation["diagonal"].mean == pytest.approx(expected, abs=0.08)
    assert found.family == "full"
    assert found.amortisation.mean == pytest.approx(found.local["full"].mean - found.elbo.mean)
    total = found.approximation["full"].mean + found.amortisation.mean
    assert found.inference.mean == pytest.approx(total)


@pytest.mark.slow
def test_an_exact_encoder_has_no_gap() -> None:
    torch.manual_seed(5)
    model, x = linear_gaussian("diagonal"), data(6)
    found = gaps(model, x, samples=300, temperatures=40, chains=8)
    assert found.family == "diagonal"
    assert abs(found.amortisation.mean) < 0.02
    assert abs(found.inference.mean) < 0.02
    assert found.unreliable == 0


@pytest.mark.slow
def test_flow_takes_a_curved_posterior_in_one_dimension_too() -> None:
    """One latent dimension has no other half, and its spline still bends: exact evidence by quadrature."""
    model = bernoulli_vae(elbox.priors.NormalMixture(1, 2), 1)
    with torch.no_grad():
        model.prior.means.copy_(torch.tensor([[-1.0], [1.0]]))
        model.prior.log_scales.fill_(math.log(0.6))
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(1)).round()
    exact = torch.stack([by_quadrature(model, row[None], 1) for row in x])
    found = gaps(model, x, samples=1000, temperatures=4, chains=2, steps=300)
    flow, full = (exact.numpy() - found.per_example[name] for name in ("flow", "full"))
    assert flow.mean() < 0.5 * full.mean()
    assert (found.per_example["flow"] < exact.numpy() + 0.05).all()


def test_local_posteriors_do_not_see_how_examples_are_cut() -> None:
    torch.manual_seed(3)
    model, x = linear_gaussian("full", "mixture", exact=False), data(9)
    with torch.no_grad():
        together = [local for _, local in fitted(Joint.of(model, x, None), 30, 8, 0)]
        alone = [local for _, local in fitted(Joint.of(model, x[4:5], None), 30, 8, 0)]
    for one, all_ in zip(alone, together, strict=True):
        for name, value in one.tensors.items():
            torch.testing.assert_close(value[0], all_.tensors[name][4], rtol=1e-4, atol=1e-5)
    assert (together[0].tensors["mean"] != together[1].tensors["mean"]).any()


def test_a_search_never_ends_below_its_start(monkeypatch) -> None:
    """With far too few, far too long steps: each family keeps what the one that it contains had found."""
    torch.manual_seed(5)
    model, x = linear_gaussian("full"), data(8)
    joint = Joint.of(model, x, None)
    monkeypatch.setattr(local_module, "LR", dict.fromkeys(("diagonal", "full", "flow"), 1.0))
    with torch.no_grad():
        found = [(torch.manual_seed(1), elbo_of(local, joint, 500, 100))[1] for _, local in fitted(joint, 4, 2, 0)]
    for poorer, richer in itertools.pairwise(found):
        assert (richer > poorer - 0.02).all()


def test_nothing_is_left_behind() -> None:
    model, x = linear_gaussian("full", "learned", exact=False), data(4)
    before = torch.get_rng_state()
    gaps(model.train(), x, samples=25, temperatures=3, steps=3)
    assert all(p.grad is None for p in model.parameters())
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)


# Pareto shapes


@pytest.mark.parametrize("k", [0.1, 0.4, 0.7, 1.0])
def test_shape_of_exact_pareto_quantiles(k: float) -> None:
    """Quantiles of a generalised Pareto distribution give its shape and scale, but for the pull towards ½."""
    p = (torch.arange(5000, dtype=torch.float64) + 0.5) / 5000
    y = 3.0 * torch.expm1(-k * torch.log1p(-p)) / k
    shape, scale = pareto_fit(torch.stack([y, 10 * y], 1))
    torch.testing.assert_close(shape, torch.full((2,), k, dtype=torch.float64), atol=0.02, rtol=0)
    torch.testing.assert_close(scale, torch.tensor([3.0, 30.0], dtype=torch.float64), rtol=0.05, atol=0)


def test_shape_of_normal_weights_is_one_minus_the_ratio_of_variances() -> None:
    """p = N(0, 1), q = N(0, s²), s < 1: w ∝ exp(−z²(1 − 1/s²)/2) has a tail of index 1/(1 − s²)."""
    torch.manual_seed(0)
    z = torch.randn(20_000, 1, dtype=torch.float64)
    scales = torch.tensor([1.5, 0.8, 0.55, 0.4])
    log_w = -0.5 * (scales * z).square() + 0.5 * z.square() + scales.log()
    _, shape = pareto_smoothed(log_w)
    assert shape[0] < 0.3
    torch.testing.assert_close(shape[1:].float(), 1 - scales[1:] ** 2, atol=0.2, rtol=0)
    assert shape[3] > 0.7


def test_smoothing_keeps_the_body_and_the_order() -> None:
    torch.manual_seed(0)
    log_w = 3 * torch.randn(1000, 4, dtype=torch.float64) + 500
    smooth, _ = pareto_smoothed(log_w)
    order = log_w.argsort(0)
    torch.testing.assert_close(smooth.gather(0, order[:-95]), log_w.gather(0, order[:-95]))
    assert (smooth.gather(0, order).diff(dim=0) >= -1e-9).all()
    assert (smooth.amax(0) <= log_w.amax(0) + 1e-9).all()
    moved = pareto_smoothed(log_w - 1e4)
    torch.testing.assert_close(moved[0], smooth - 1e4)


def test_constant_and_extreme_weights() -> None:
    equal, shape = pareto_smoothed(torch.zeros(100, 2))
    assert torch.equal(equal, torch.zeros(100, 2, dtype=torch.float64))
    assert (shape == -math.inf).all()
    spread = torch.linspace(-1e5, 0, 200)[:, None]
    smooth, shape = pareto_smoothed(spread)
    assert not smooth.isnan().any()
    assert shape > 0.7


def test_a_posterior_that_is_too_narrow_is_told() -> None:
    torch.manual_seed(5)
    exact, narrow, x = linear_gaussian("full"), linear_gaussian("full"), data(12)
    with torch.no_grad():
        narrow.load_state_dict(exact.state_dict())
        bias = affine(narrow.posterior.net)[1]
        bias[2:4] -= 1.5  # σ falls to a fifth
        bias[4:] *= math.exp(-1.5)
    (_, good), (_, bad) = (pareto_smoothed(m.terms(x, 2000).log_w) for m in (exact, narrow))
    assert good.max() < 0.5
    assert (bad > 0.7).double().mean() > 0.8


# What does not fit


def test_what_does_not_fit_is_refused() -> None:
    spec, x = DataSpec((5,), "binary"), torch.ones(2, 5)
    with pytest.raises(IncompatibleError, match="got gaps on an autoencoder, whose deterministic code has no density"):
        gaps(elbox.recipes.ae(spec, latent=2, hidden=(4,)).model, x)
    bits = elbox.VAE(
        elbox.priors.BernoulliPrior(3),
        elbox.likelihoods.Bernoulli(elbox.nn.MLP(3, [], 5)),
        elbox.posteriors.BernoulliCode(elbox.nn.MLP(5, [], 3), 3),
    )
    family = elbox.posteriors.Factorized(
        elbox.nn.MLP(5, [], elbox.posteriors.Factorized.output_shape(2, Dirichlet)), 2, Dirichlet
    )
    simplex = elbox.VAE(
        elbox.priors.Factorized(2, Dirichlet), elbox.likelihoods.Bernoulli(elbox.nn.MLP(2, [], 5)), family
    )
    for model in (bits, simplex):
        for measure in (gaps, annealed, lambda m, x: bracket(m, 2)):
            with pytest.raises(IncompatibleError, match="codes, bounded or on a curved space; expected real numbers"):
                measure(model, x)
    vae = elbox.recipes.vae(spec, latent=2, hidden=(4,)).model
    with pytest.raises(SettingError, match="got samples=24; expected at least 25"):
        gaps(vae, x, samples=24)
    with pytest.raises(SettingError, match="got temperatures=0; expected a whole number ≥ 1"):
        annealed(vae, x, temperatures=0)
    with pytest.raises(elbox.DataError, match="got values in row 1 that Bernoulli gives no probability"):
        annealed(vae, torch.tensor([[1.0] * 5, [0.5] * 5]), temperatures=2)
    counts = elbox.recipes.count_vae(DataSpec((5,), "count"), latent=2, hidden=(4,), library=True).model
    with pytest.raises(IncompatibleError, match="got bracket on a model with the condition LogTotal"):
        bracket(counts, 2)


@pytest.mark.slow
def test_a_condition_that_is_a_function_of_the_data() -> None:
    counts = elbox.recipes.count_vae(DataSpec((5,), "count"), latent=2, hidden=(4,), library=True).model
    assert gaps(counts, torch.ones(3, 5), samples=25, temperatures=3, steps=3).n == 3
