"""MAP and full variational Bayes over weights: what they add, to what, and what they cannot be used with."""

from __future__ import annotations

import math
from pathlib import Path as File

import pytest
import torch
from torch import nn

import elbox
from elbox import (
    ELBO,
    IWAE,
    VAE,
    AnalyticKL,
    DataSpec,
    IncompatibleError,
    Path,
    Reparameterized,
    SettingError,
    Training,
)
from elbox.estimators import MAP, BayesianWeights, MonteCarloEM, WakeSleep
from elbox.evaluate import marginal_likelihood
from elbox.likelihoods import Gaussian
from elbox.nn import MLP, Bayesian
from elbox.posteriors import DiagonalNormal
from elbox.priors import LearnedNormal, StandardNormal
from tests.unbiased.exact import gradient
from tests.unbiased.models import batch, model

N = 40


def random_weights() -> VAE:
    torch.manual_seed(0)
    net = Bayesian(MLP(2, [4], 3, nn.Tanh), scale=0.7, spread=0.2)
    return VAE(StandardNormal(2), Gaussian(net), DiagonalNormal(MLP(3, [4], (2, 2)), 2)).double()


@pytest.mark.parametrize("estimator", [Reparameterized(), Path(), AnalyticKL(), WakeSleep()])
def test_map_adds_the_prior_of_the_weights(estimator: Reparameterized) -> None:
    """Loss and gradient are those within, plus θ²/2Ns² and θ/Ns² for prior and likelihood, and nothing for φ."""
    vae, scale, found = model("DiagonalNormal", "LearnedNormal"), 0.5, []
    for how in (estimator, MAP(estimator, N, scale)):
        torch.manual_seed(1)
        estimate = how(vae, batch(), ELBO(samples=2))
        torch.testing.assert_close(estimate.loss, -estimate.objective.mean())
        found.append((estimate, gradient(vae, estimate.loss)))
    (plain, slope), (penalised, steeper) = found
    theta = {n: p for n, p in vae.named_parameters() if not n.startswith("posterior")}
    total, count = sum(p.square().sum() for p in theta.values()), sum(p.numel() for p in theta.values())
    share = (total / (2 * scale**2) + count * (math.log(scale) + 0.5 * math.log(2 * math.pi))) / N
    torch.testing.assert_close(penalised.loss, plain.loss + share)
    for n in slope:
        extra = theta[n] / (N * scale**2) if n in theta else 0.0
        torch.testing.assert_close(steeper[n], slope[n] + extra)
    torch.testing.assert_close(penalised.terms.elbo, plain.terms.elbo)  # the bound is still that of the model


def test_full_bayes_adds_a_group() -> None:
    """KL/N as the group `weights`: rate, bound and log-weights have it; the objective is the ELBO of these terms."""
    vae, x = random_weights(), batch()
    (layers,) = [m.layers for m in vae.modules() if isinstance(m, Bayesian)]
    share = sum(layer.kl() for layer in layers) / N
    torch.manual_seed(1)
    plain = AnalyticKL()(vae, x, ELBO(samples=3))
    torch.manual_seed(1)
    full = BayesianWeights(AnalyticKL(), N)(vae, x, ELBO(samples=3))
    torch.testing.assert_close(full.objective, plain.objective - share)
    torch.testing.assert_close(full.objective, ELBO()(full.terms))
    torch.testing.assert_close(full.terms.groups["weights"].rate, share.expand(2))
    torch.testing.assert_close(full.terms.log_w, plain.terms.log_w - share)
    assert full.terms.groups["weights"].has_rate
    assert list(plain.terms.groups) == ["z"]


def test_many_examples_leave_maximum_likelihood() -> None:
    """N → ∞: the share vanishes, and what is left is the objective within."""
    vae, x = random_weights(), batch()
    for how in (lambda n: MAP(AnalyticKL(), n), lambda n: BayesianWeights(AnalyticKL(), n)):
        losses = []
        for n in (10, 10**4, 10**12):
            torch.manual_seed(1)
            losses.append(how(n)(vae, x, ELBO()).loss)
        torch.manual_seed(1)
        limit = AnalyticKL()(vae, x, ELBO()).loss
        torch.testing.assert_close((losses[0] - limit) / (losses[1] - limit), torch.tensor(1e3).double())
        torch.testing.assert_close(losses[2], limit, atol=1e-6, rtol=0)


def test_map_around_monte_carlo_em() -> None:
    """Its state and its logs are seen through the wrapper."""
    em = MAP(MonteCarloEM(3), N)
    em(model("DiagonalNormal", "LearnedNormal"), batch(), ELBO())
    assert set(em.logs()) == {"acceptance", "step_size"}
    assert {n for n, _ in em.named_buffers()} == {"estimator.log_step", "estimator.accepted"}
    assert not em.unbiased
    assert not em.robust


def test_what_does_not_fit_is_refused() -> None:
    vae, x = model(), batch()
    with pytest.raises(IncompatibleError, match=r"needs a model with random weights, got a VAE without; use Bayesian"):
        BayesianWeights(AnalyticKL(), N)(vae, x, ELBO())
    with pytest.raises(IncompatibleError, match=r"needs an objective of the rate, and Renyi .*; use ELBO\(\)"):
        BayesianWeights(Path(), N)(random_weights(), x, IWAE(3))
    with pytest.raises(IncompatibleError, match=r"MonteCarloEM needs a density that stays; use MAP"):
        BayesianWeights(MonteCarloEM(), N)
    for how in (MAP(AnalyticKL(), 0), BayesianWeights(AnalyticKL(), 0)):
        with pytest.raises(SettingError, match=r"without the number of training examples, .* DataSpec.examples ≥ 1"):
            how(random_weights(), x, ELBO())
    with pytest.raises(SettingError, match="got examples=-1"):
        MAP(AnalyticKL(), -1)
    with pytest.raises(SettingError, match="got scale=0"):
        MAP(AnalyticKL(), N, 0.0)
    with pytest.raises(IncompatibleError, match=r"got marginal_likelihood on a model with random weights"):
        marginal_likelihood(random_weights(), x)


def test_parameter_in_two_places_counts_once() -> None:
    prior = LearnedNormal(2)
    vae = VAE(prior, Gaussian(MLP(2, [], 3)), DiagonalNormal(MLP(3, [], (2, 2)), 2))
    vae.likelihood.again = prior
    estimate = MAP(Reparameterized(), 1)(vae, torch.zeros(2, 3), ELBO())
    theta = [*prior.parameters(), *vae.likelihood.net.parameters(), vae.likelihood.log_sigma]
    share = sum(torch.distributions.Normal(0.0, 1.0).log_prob(p).sum() for p in theta)
    torch.testing.assert_close(estimate.objective, estimate.terms.elbo + share)


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_run_of_random_weights(tmp_path: File, compile: bool) -> None:
    """Trained, saved, loaded, evaluated: the weights' rate is logged in training, and held-out data do not pay it."""
    data = elbox.load("digits", binarise="threshold")
    made = elbox.recipes.bayesian_vae(data.spec, latent=2, hidden=(16,))
    assert made.estimator.examples == data.spec.examples == len(data.train.x)
    run = elbox.fit(made, data, Training(epochs=2, compile=compile, device="cpu"), out=tmp_path / "run")
    train = [row for row in run.metrics if row["split"] == "train"]
    held_out = [row for row in run.metrics if row["split"] == "held_out"]
    assert train[0]["rate"] == pytest.approx(train[0]["rate/z"] + train[0]["rate/weights"], rel=1e-4)
    assert train[0]["rate/weights"] > 0.5
    assert "rate/weights" not in held_out[0]
    loaded = elbox.load_run(tmp_path / "run")
    first, again = (elbox.evaluate(m, data.examples("test"), samples=20) for m in (run.model, loaded.model))
    assert first.elbo == again.elbo
    assert first.log_likelihood.mean > first.elbo.mean
    assert first.rate.mean < train[-1]["rate"]


def test_predictive_density_of_held_out_data() -> None:
    """log (1/S) Σ_s p(x, z_s|w_s) / q(z_s|x), weights drawn anew for each s, is log ∫ q(w) p(x|w) dw, by quadrature."""
    torch.manual_seed(0)
    net = Bayesian(MLP(1, [], 1), spread=0.4)
    vae = VAE(StandardNormal(1), Gaussian(net), DiagonalNormal(MLP(1, [], (2, 1)), 1)).double()
    (layer,) = net.layers
    (weight, bias), x = layer.posterior(), torch.tensor([[0.7], [-1.5]], dtype=torch.float64)
    z = torch.linspace(-8, 8, 801, dtype=torch.float64)[:, None]
    spread = (weight.variance[0] * z.square() + bias.variance + 1.0).sqrt()  # of x given z, with w integrated out
    each = torch.distributions.Normal(weight.mean[0] * z + bias.mean, spread).log_prob(x.T)
    exact = torch.logsumexp(each + torch.distributions.Normal(0.0, 1.0).log_prob(z) + math.log(0.02), 0)
    vae.eval()
    found = torch.stack([vae.log_prob(x, 4000) for _ in range(25)])
    assert ((found.mean(0) - exact).abs() < 4 * found.std(0) / 5 + 1e-3).all()


def test_recipes_need_the_number_of_examples() -> None:
    for name in ("bayesian_vae", "map_vae"):
        made = elbox.recipes.RECIPES[name](DataSpec((5,), "binary"), latent=2, hidden=(6,))
        with pytest.raises(SettingError, match="without the number of training examples"):
            made.estimator(made.model, torch.ones(2, 5), made.objective)
