"""The posterior without an encoder: the true one where it can be, and better than an encoder's where it cannot."""

from __future__ import annotations

import json

import pytest
import torch
from torch.distributions import Normal, kl_divergence

import elbox
from elbox import ELBO, VAE, AnalyticKL, SettingError, Training
from elbox.evaluate import encode
from elbox.likelihoods import Bernoulli
from elbox.nn import MLP
from elbox.parts import from_tree, to_tree
from elbox.posteriors import LocalNormal
from elbox.priors import LearnedNormal, StandardNormal
from elbox.train import train
from elbox.train.step import Step
from tests.closed_form.linear import data, evidence, linear_gaussian, true_posterior
from tests.unbiased.exact import gradient
from tests.unbiased.test_monte_carlo_em import log_evidence, only


def local(vae: VAE, **settings: float) -> VAE:
    """The same model with a posterior that is optimised."""
    return VAE(vae.prior, vae.likelihood, LocalNormal(vae.prior, vae.likelihood, 2, **settings).double())


@pytest.mark.parametrize("prior", ["standard", "learned"])
def test_reaches_the_true_posterior(prior: str) -> None:
    """Orthogonal columns of W: it factorises, and KL(q ‖ p(z|x)) falls to 0 with the steps; the ELBO is log p(x)."""
    torch.manual_seed(1)
    vae, x = linear_gaussian("diagonal", prior), data(6)
    truth = true_posterior(vae, x)
    gaps = []
    for steps, samples in ((5, 2), (50, 4), (200, 32)):
        q = local(vae, steps=steps, samples=samples).encode(x)
        exact = Normal(truth.mean, truth.variance.sqrt().expand_as(truth.mean))
        gaps.append(kl_divergence(q.base_dist, exact).sum(-1).max().item())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3
    terms = local(vae, steps=200, samples=32).terms(x, 50_000)
    error = terms.log_w.std(0) / 50_000**0.5
    assert ((terms.log_w.mean(0) - evidence(vae, x)).abs() < 3 * error + 1e-3).all()


def test_gradient_of_the_model_is_that_of_the_evidence() -> None:
    """At the inner optimum, the gradient with q held fixed is the whole gradient."""
    torch.manual_seed(1)
    vae, x = linear_gaussian("diagonal", "learned"), data(4)
    right = only(gradient(vae, log_evidence(vae, x)), "prior", "likelihood")
    em = local(vae, steps=200, samples=32)
    found = gradient(em, -AnalyticKL()(em, x, ELBO(samples=40_000)).loss)
    assert set(found) == set(right), "the posterior has no parameters of its own"
    for n, g in right.items():
        torch.testing.assert_close(found[n], g, atol=0.02 * max(1.0, g.abs().max().item()), rtol=0.02)


def test_is_a_function_of_the_example() -> None:
    """Not of its place in a batch, of its company or of the random state; and of no number of the example."""
    torch.manual_seed(0)
    prior, likelihood = LearnedNormal(2), Bernoulli(MLP(2, [8], 5))
    q, x = LocalNormal(prior, likelihood, 2), torch.rand(6, 5).round()
    whole = q(x)
    torch.rand(3)
    alone = q(x[4:5])
    torch.testing.assert_close(alone.mean[0], whole.mean[4], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.stddev[0], whole.stddev[4], rtol=1e-4, atol=1e-5)


def test_condition_is_seen() -> None:
    torch.manual_seed(0)
    prior, likelihood = StandardNormal(2), Bernoulli(MLP(2, [8], 5, context=3))
    model = VAE(prior, likelihood, LocalNormal(prior, likelihood, 2))
    x, a, b = torch.rand(4, 5).round(), torch.randn(4, 3), torch.randn(4, 3)
    assert not torch.allclose(model.encode(x, c=a).mean, model.encode(x, c=b).mean)
    assert model.terms(x, 3, c=a).log_w.shape == (3, 4)


def test_bound_is_above_an_encoders() -> None:
    """The same trained model and the same examples: what optimisation adds is the gap of amortisation."""
    x = elbox.load("digits", binarise="threshold")
    run = elbox.fit(elbox.recipes.vae(x.spec, latent=4, hidden=(50,)), x, Training(epochs=4, lr=0.005))
    model, test = run.model, x.examples("test")
    free = VAE(model.prior, model.likelihood, LocalNormal(model.prior, model.likelihood, 4, steps=50, samples=4))
    before, after = (elbox.evaluate(m, test, samples=20) for m in (model, free))
    gain = after.per_example["elbo"] - before.per_example["elbo"]
    assert gain.mean() > 4 * gain.std() / len(gain) ** 0.5
    assert encode(free, test).shape == (len(test), 4)


@pytest.mark.parametrize("compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_trains_eagerly_and_recorded(compile: bool) -> None:
    torch.manual_seed(0)
    spec = elbox.DataSpec((5,), "binary")
    recipe = elbox.recipes.local_vi(spec, latent=2, hidden=(6,), steps=4)
    x = (torch.rand(64, 5) < torch.tensor([0.9, 0.1, 0.8, 0.2, 0.9])).float()
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    result = train(step, x, Training(epochs=8, batch_size=16, lr=0.02, compile=compile, device="cpu", precision="32"))
    rows = [row["elbo"] for row in result.history if row["split"] == "train"]
    assert rows[-1] > rows[0] + 0.2


def test_one_likelihood_in_two_places_stays_one() -> None:
    model = elbox.recipes.local_vi(elbox.DataSpec((5,), "binary"), latent=2, hidden=(6,)).model
    loaded = from_tree(json.loads(json.dumps(to_tree(model))))
    assert loaded.posterior.likelihood is loaded.likelihood
    assert loaded.posterior.prior is loaded.prior
    loaded.load_state_dict(model.state_dict())
    assert len(list(loaded.parameters())) == len(list(model.likelihood.parameters()))


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"steps": 0}, "got steps=0; expected a whole number ≥ 1"),
        ({"samples": 3}, "got samples=3; expected an even number: they come in pairs ±ε"),
        ({"samples": 0}, "got samples=0; expected a whole number ≥ 2"),
        ({"lr": 0.0}, "got lr=0.0; expected a number > 0"),
    ],
)
def test_bad_settings(bad: dict[str, float], expected: str) -> None:
    prior, likelihood = StandardNormal(2), Bernoulli(MLP(2, [8], 5))
    with pytest.raises(SettingError, match=expected):
        LocalNormal(prior, likelihood, 2, **bad)
