"""A second stage: what another prior changes in a bound, and priors that are models themselves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Gamma, Independent, MultivariateNormal
from zuko.lazy import LazyDistribution

import elbox
from elbox import VAE, IncompatibleError, RunError, SettingError, ShapeError, Training, priors
from elbox.distributions import OneHots
from elbox.distributions.normal import LOG_SCALE_BOUND
from elbox.estimators import MonteCarloEM
from elbox.evaluate import marginal_likelihood
from elbox.likelihoods import FixedGaussian
from elbox.nn import MLP
from elbox.posteriors import CategoricalCode, Deterministic, DiagonalNormal, Factorized
from elbox.recipes.second_stages import diffusion_prior, vae_prior
from elbox.second_stage import check_second_stage

FAST = Training(epochs=4, batch_size=50, compile=False, precision="32")


def linear(weight: float = 0.8, noise: float = 0.5) -> VAE:
    """z = w u + noise in one dimension, with its exact posterior: N(w z / (w² + s²), s² / (w² + s²))."""
    likelihood = FixedGaussian(MLP(1, [], 1), sigma=noise)
    posterior = DiagonalNormal(MLP(1, [], (2, 1)), 1)
    total = weight**2 + noise**2
    log_scale = 0.5 * math.log(noise**2 / total)
    raw = log_scale / (1 - abs(log_scale) / LOG_SCALE_BOUND)  # before `soft_clip`
    with torch.no_grad():
        likelihood.net.net[0].weight.fill_(weight)
        posterior.net.net[0].weight.copy_(torch.tensor([[weight / total], [0.0]]))
        posterior.net.net[0].bias.copy_(torch.tensor([0.0, raw]))
    return VAE(priors.StandardNormal(1), likelihood, posterior)


def vae(latent: int = 2) -> VAE:
    torch.manual_seed(0)
    return VAE(
        priors.StandardNormal(latent),
        FixedGaussian(MLP(latent, [8], 5)),
        DiagonalNormal(MLP(5, [8], (2, latent)), latent),
    )


def moved() -> VAE:
    """A VAE whose codes are far from N(0, I)."""
    model = vae()
    with torch.no_grad():
        model.posterior.net.net[-1].bias[:2] += 3.0
    return model


X = torch.randn(400, 5, generator=torch.Generator().manual_seed(0))


# A VAE as prior


def test_with_the_exact_posterior_its_bound_is_the_density() -> None:
    z = torch.linspace(-3, 3, 7)[:, None]
    right = torch.distributions.Normal(0.0, math.sqrt(0.8**2 + 0.5**2)).log_prob(z[:, 0])
    prior = priors.SecondStage(linear(), 1)
    torch.testing.assert_close(prior().log_prob(z), right)
    losses = prior.loss(z.expand(20_000, 7, 1))  # its distortion is still that of a draw
    assert ((losses.mean(0) + right).abs() < 4 * losses.std(0) / math.sqrt(20_000)).all()


@pytest.mark.parametrize("samples", [1, 4])
def test_otherwise_it_is_the_logarithm_of_an_unbiased_estimate(samples: int) -> None:
    """E[p̂(z)] = p(z), so that importance weights with p̂ are right, and E[log p̂(z)] < log p(z): a lower bound."""
    torch.manual_seed(0)
    model = linear()
    with torch.no_grad():
        model.posterior.net.net[0].bias[1] += 0.3
    z = torch.full((100_000, 1), 0.7)
    with torch.no_grad():
        found = priors.SecondStage(model, 1, samples)().log_prob(z)
    right = torch.distributions.Normal(0.0, math.sqrt(0.8**2 + 0.5**2)).log_prob(z[:1, 0])
    se = found.exp().std() / math.sqrt(len(z))
    assert abs(found.exp().mean() - right.exp()) < 4 * se
    assert found.mean() < right - 4 * found.std() / math.sqrt(len(z))
    loss = priors.SecondStage(model, 1, samples).loss(z)
    assert abs(loss.mean() + found.mean()) < 4 * (loss.std() + found.std()) / math.sqrt(len(z))


def test_importance_weighted_likelihood_under_it_rises_to_log_p() -> None:
    """log p(x) of the model with ∫ p(u) p(z|u) du as prior: here all is normal."""
    torch.manual_seed(0)
    inner = linear()
    with torch.no_grad():
        inner.posterior.net.net[0].bias[1] += 0.3
    outer = linear(1.5, 1.0)
    model = VAE(priors.SecondStage(inner, 1), outer.likelihood, outer.posterior)
    x = torch.tensor([[0.5], [-2.0]])
    right = torch.distributions.Normal(0.0, math.sqrt(1.5**2 * (0.8**2 + 0.5**2) + 1.0)).log_prob(x[:, 0])
    few = elbox.evaluate(model, x.repeat(500, 1), samples=1).log_likelihood
    many = elbox.evaluate(model, x, samples=20_000).per_example["log_likelihood"]
    assert few.mean + 2 * few.se < right.mean()
    np.testing.assert_allclose(many, right.numpy(), atol=0.02)


def test_its_draws_are_those_of_the_model() -> None:
    torch.manual_seed(0)
    z = priors.SecondStage(linear(), 1)().sample((50, 1000))
    assert z.shape == (50, 1000, 1)
    assert z.var().item() == pytest.approx(0.8**2 + 0.5**2, rel=0.03)


@pytest.mark.parametrize(
    "prior", [lambda: vae_prior(2, (4,)), lambda: priors.Diffusion(2, (4,), exact=False)], ids=["vae", "diffusion"]
)
def test_chains_do_not_compare_estimates(prior) -> None:
    model = vae()
    model.prior = prior()
    with pytest.raises(IncompatibleError, match=r"log p\(z\) is an estimate.*use log_likelihood"):
        marginal_likelihood(model, X[:2])
    with pytest.raises(IncompatibleError, match=r"MonteCarloEM compares densities.*use WakeSleep"):
        MonteCarloEM()(model, X[:2], elbox.ELBO())


def test_an_autoencoder_is_no_second_stage() -> None:
    plain = VAE(None, FixedGaussian(MLP(2, [], 2)), Deterministic(MLP(2, [], 2), 2))
    with pytest.raises(IncompatibleError, match=r"got SecondStage of an autoencoder.*use a VAE"):
        priors.SecondStage(plain, 2)


# Standardised codes


def test_standardized_density_is_that_of_the_change_of_variables() -> None:
    torch.manual_seed(0)
    z = 3 + 5 * torch.randn(1000, 2) @ torch.tensor([[1.0, 0.2], [0.0, 0.1]])
    prior = priors.Standardized(priors.StandardNormal(2), 2)
    prior.start(X, lambda: z)
    right = MultivariateNormal(z.mean(0), torch.diag(z.var(0, correction=0)))
    torch.testing.assert_close(prior().log_prob(z), right.log_prob(z))
    torch.testing.assert_close(prior.loss(z), -right.log_prob(z))
    draws = prior().sample((100_000,))
    torch.testing.assert_close(draws.var(0), z.var(0), rtol=0.02, atol=0)


def test_a_dimension_that_never_varies_keeps_its_scale() -> None:
    prior = priors.Standardized(priors.StandardNormal(2), 2)
    prior.start(X, lambda: torch.tensor([[1.0, 2.0], [3.0, 2.0]]))
    assert prior.scale.tolist() == [1.0, 1.0]
    assert prior().log_prob(torch.zeros(2)).isfinite()


def test_only_real_numbers_are_standardized() -> None:
    with pytest.raises(IncompatibleError, match=r"Standardized.BernoulliPrior., which is not over real numbers; use"):
        priors.Standardized(priors.BernoulliPrior(2), 2)()


# Fitting


def test_nothing_but_the_prior_is_changed() -> None:
    model, prior = moved(), priors.NormalMixture(2, 3)
    before = {n: p.clone() for n, p in model.named_parameters()}
    start = [p.clone() for p in prior.parameters()]
    found = elbox.fit_prior(model, X, prior, FAST, valid=X[:100])
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert all(p.requires_grad for p in model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(start, prior.parameters(), strict=True))
    assert found.model.prior is prior
    assert (found.model.likelihood, found.model.posterior) == (model.likelihood, model.posterior)


def test_gradient_steps_reach_the_best_normal() -> None:
    """The maximum of E_q[log p(z)] over normals has the mean and the variance of the aggregated posterior."""
    model = moved()
    how = Training(epochs=150, batch_size=100, lr=0.05, compile=False, precision="32")
    prior = elbox.fit_prior(model, X, priors.LearnedNormal(2), how).model.prior
    q = model.encode(X)
    torch.testing.assert_close(prior.mean, q.mean.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(prior().variance, q.mean.var(0, correction=0) + q.variance.mean(0), rtol=0.05, atol=0)


def test_the_new_bound_is_reported_beside_the_old_one() -> None:
    model = moved()
    found = elbox.fit_prior(model, X[100:], diffusion_prior(2, (16,)), FAST, valid=X[:100])
    assert found.before["distortion"] == found.after["distortion"]
    assert found.after["bound"] > found.before["bound"] + 5
    assert found.examples == 100
    exact = elbox.evaluate(found.model, X[:100], samples=50)
    assert found.after["bound"] == pytest.approx(exact.elbo.mean, abs=6 * exact.elbo.se)
    line = f"{found.before['bound']:.2f} nats before, {found.after['bound']:.2f} with Standardized(Diffusion)"
    assert line in str(found)
    assert json.loads(json.dumps(found.to_json()))["after"] == found.after


def test_the_best_by_the_held_out_bound_is_kept() -> None:
    """Also where the last steps spoil it: here all but the first do: the data of the steps are not those held out."""
    model, prior = vae(), priors.LearnedNormal(2)
    how = Training(epochs=20, batch_size=100, lr=0.3, compile=False, precision="32")
    found = elbox.fit_prior(model, X + 30.0, prior, how, valid=X[:100])
    rows = [row for row in found.training.history if row["split"] == "held_out"]
    assert found.training.best_bound == max(row["bound"] for row in rows) > rows[-1]["bound"] + 1
    assert found.after["bound"] == pytest.approx(found.training.best_bound)


def test_the_same_seed_fits_the_same_prior() -> None:
    fits = []
    for _ in range(2):
        torch.manual_seed(1)
        prior = vae_prior(2, (8,))
        state = torch.get_rng_state()
        fits.append(elbox.fit_prior(moved(), X, prior, FAST).model.prior.state_dict())
        assert fits[-1]["offset"].abs().max() > 0
        torch.set_rng_state(state)
    assert all(torch.equal(a, b) for a, b in zip(*(f.values() for f in fits), strict=True))


def test_an_autoencoder_is_measured_by_the_density_of_its_codes() -> None:
    torch.manual_seed(0)
    model = VAE(None, FixedGaussian(MLP(2, [8], 5)), Deterministic(MLP(5, [8], 2), 2))
    found = elbox.fit_prior(model, X, diffusion_prior(2, (16,)), FAST, valid=X[:100])
    assert found.before is None
    assert set(found.after) == {"log_pz"}
    with torch.no_grad():
        right = found.model.prior().log_prob(model.encode(X[:100]).mean).mean().item()
    assert found.after["log_pz"] == pytest.approx(right, abs=1e-3)
    assert "log p(z) of held-out codes" in str(found)
    assert found.model.sample(3).shape == (3, 5)


class Chain(LazyDistribution):
    """p(z₂|z₁) over one-hot codes: any prior whose forward returns a distribution will do."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(start)

    def forward(self, c: object = None) -> OneHots:
        return OneHots(self.logits, 3)


def test_a_prior_of_codes_is_fitted_to_codes() -> None:
    torch.manual_seed(0)
    posterior = CategoricalCode(MLP(5, [8], (2, 3)), 2, 3)
    model = VAE(priors.CategoricalPrior(2, 3), FixedGaussian(MLP(6, [8], 5)), posterior)
    how = Training(epochs=60, batch_size=100, lr=0.05, compile=False, precision="32")
    found = elbox.fit_prior(model, X, Chain(torch.zeros(6)), how, valid=X[:100])
    right = model.encode(X).mean.mean(0).log().reshape(2, 3)
    torch.testing.assert_close(found.model.prior.logits.reshape(2, 3).log_softmax(-1), right, rtol=0, atol=0.05)
    assert found.after["bound"] > found.before["bound"]


def test_codes_that_are_positive_keep_a_positive_prior() -> None:
    torch.manual_seed(0)
    posterior = Factorized(MLP(5, [8], (2, 2)), 2, Gamma)
    model = VAE(priors.Factorized(2, Gamma), FixedGaussian(MLP(2, [8], 5)), posterior)
    found = elbox.fit_prior(model, X, priors.Factorized(2, Gamma, learned=True), FAST, valid=X[:50])
    assert found.after["bound"] > found.before["bound"]
    for wrong in (priors.FittedMixture(2), diffusion_prior(2), vae_prior(2, (4,)), priors.Diffusion(2, (4,))):
        with pytest.raises(IncompatibleError, match=r"Gamma posterior over positive numbers.*use priors.Factorized"):
            elbox.fit_prior(model, X, wrong, FAST)


@pytest.mark.parametrize(
    ("prior", "options", "error", "said"),
    [
        (lambda: priors.BernoulliPrior(2), {}, IncompatibleError, "got a DiagonalNormal posterior over real numbers"),
        (lambda: priors.LearnedNormal(3), {}, ShapeError, r"posterior over \(2,\) with a prior over \(3,\)"),
        (lambda: priors.LearnedNormal(2), {"c": X}, IncompatibleError, "got a condition c with LearnedNormal.*FittedM"),
    ],
)
def test_what_cannot_be_fitted_is_said(prior, options, error, said) -> None:
    with pytest.raises(error, match=said):
        elbox.fit_prior(vae(), X, prior(), FAST, **options)


def test_codes_of_an_autoencoder_need_a_density_of_real_numbers() -> None:
    model = VAE(None, FixedGaussian(MLP(2, [8], 5)), Deterministic(MLP(5, [8], 2), 2))
    for wrong in (priors.BernoulliPrior(2), priors.Factorized(2, Gamma)):
        with pytest.raises(
            IncompatibleError, match=r"codes of a Deterministic posterior, real numbers.*use a FittedMix"
        ):
            elbox.fit_prior(model, X, wrong, FAST)


def test_a_fixed_prior_is_put_in_as_it_is() -> None:
    found = elbox.fit_prior(moved(), X, priors.StandardNormal(2), valid=X[:20])
    assert found.before == found.after
    assert found.training is None


# Two stages in one run


@pytest.fixture(scope="module")
def data() -> elbox.Data:
    return elbox.from_array(X.numpy(), seed=0)


@pytest.mark.parametrize("recipe", ["latent_diffusion", "two_stage_vae"])
def test_one_run_trains_both_stages(data, tmp_path, recipe) -> None:
    made = elbox.recipes.RECIPES[recipe](data.spec, latent=2, hidden=(8,), second=(8,))
    run = elbox.fit(made, data, FAST, out=tmp_path / "run")
    assert run.model.prior.fitted
    assert not made.model.prior.fitted
    record = run.info["second_stage"]
    assert record["after"]["distortion"] == pytest.approx(record["before"]["distortion"], rel=0.02)  # other noise
    again = elbox.load_run(tmp_path / "run")
    assert again.model.prior.fitted
    assert again.info["second_stage"] == record
    assert (tmp_path / "run" / "second_stage" / "metrics.jsonl").exists()
    one, other = (elbox.evaluate(r.model, X[:50], samples=2, seed=3).elbo.mean for r in (run, again))
    assert one == pytest.approx(other, abs=1e-6)


def test_the_first_stage_trains_under_the_first_prior(data) -> None:
    """The codes of a staged model are those of the model without the second prior, to the bit."""
    torch.manual_seed(0)
    made = elbox.recipes.vae(data.spec, latent=2, hidden=(8,))
    staged = priors.Staged(priors.StandardNormal(2), priors.NormalMixture(2, 3))
    model = VAE(staged, made.model.likelihood, made.model.posterior)
    runs = [
        elbox.fit(r, data, FAST)
        for r in (
            elbox.Recipe(made.model, made.objective, made.estimator),
            elbox.Recipe(model, made.objective, made.estimator),
        )
    ]
    x = data.examples("test")
    assert torch.equal(*(run.model.encode(x).mean for run in runs))


def test_a_second_stage_that_cannot_be_is_refused_before_the_first(data, tmp_path) -> None:
    made = elbox.recipes.vae(data.spec, latent=2, hidden=(8,))
    wrong = priors.Staged(priors.StandardNormal(2), priors.LearnedNormal(3))
    model = VAE(wrong, made.model.likelihood, made.model.posterior)
    with pytest.raises(ShapeError, match=r"over \(2,\) with a prior over \(3,\)"):
        elbox.fit(elbox.Recipe(model, made.objective, made.estimator), data, FAST, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    check_second_stage(made.model, X[:2], 400)


def test_an_interrupted_second_stage_goes_on_to_the_bit(data, tmp_path, monkeypatch) -> None:
    import elbox.second_stage as module

    made = elbox.recipes.latent_diffusion(data.spec, latent=2, hidden=(8,), second=(8,))
    whole = elbox.fit(made, data, FAST, out=tmp_path / "whole")
    train = module.train
    monkeypatch.setattr(module, "train", lambda *a, **k: train(*a, **k, stop_after=9))
    with pytest.raises(elbox.Interrupted, match="elbox resume"):
        elbox.fit(made, data, FAST, out=tmp_path / "halves")
    assert not elbox.load_run(tmp_path / "halves").model.prior.fitted
    monkeypatch.undo()
    halves = elbox.resume(tmp_path / "halves", data=data)
    assert halves.info["status"] == "finished"
    assert halves.model.prior.fitted
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, halves.model.state_dict()[name]), name


# Another prior for a run


def test_a_run_gets_another_prior_in_a_new_folder(tmp_path) -> None:
    data = elbox.load("digits")
    old = elbox.fit(elbox.recipes.vae(data.spec, latent=2, hidden=(16,)), data, FAST, out=tmp_path / "old")
    files = {p: p.read_bytes() for p in (tmp_path / "old").rglob("*") if p.is_file()}
    new = old.fit_prior(diffusion_prior(2, (8,)), FAST, out=tmp_path / "new")
    assert {p: p.read_bytes() for p in (tmp_path / "old").rglob("*") if p.is_file()} == files
    assert type(old.model.prior) is priors.StandardNormal
    again = elbox.load_run(tmp_path / "new")
    assert again.info["second_stage"] == new.info["second_stage"]
    assert again.samples == 10
    assert old.samples == 1000
    z = torch.randn(4, 2)
    torch.testing.assert_close(again.model.prior().log_prob(z), new.model.prior().log_prob(z))
    with pytest.raises(RunError, match="which exists; expected a new one"):
        old.fit_prior(out=tmp_path / "new")


def test_data_with_a_validation_split_need_no_other() -> None:
    data = elbox.load("digits")
    model = elbox.recipes.vae(data.spec, latent=2, hidden=(4,)).model
    with pytest.raises(SettingError, match="got valid= with data that have a validation split"):
        elbox.fit_prior(model, data, valid=data.examples("test"))


def test_streamed_data_are_read_as_they_are_needed(tmp_path) -> None:
    np.save(tmp_path / "x.npy", X.numpy())
    streamed = elbox.load(tmp_path / "x.npy", stream=True)
    assert streamed.streamed
    found = elbox.fit_prior(moved(), streamed, diffusion_prior(2, (8,)), FAST)
    assert found.after["bound"] > found.before["bound"]


def test_a_support_is_stated_by_every_prior_of_real_numbers() -> None:
    from elbox.distributions.support import real, support

    for prior in (priors.Diffusion(2, (4,)), diffusion_prior(2, (4,)), vae_prior(2, (4,))):
        assert real(prior())
        assert support(prior()) is not None
    assert not real(Independent(Gamma(torch.ones(2), torch.ones(2)), 1))
