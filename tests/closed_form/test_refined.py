"""Refined posteriors: nearer to the truth with every step, functions of the example, trained through their steps."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

import elbox
from elbox import ELBO, VAE, AnalyticKL, IncompatibleError, SettingError, Training
from elbox.estimators import MonteCarloEM, WakeSleep
from elbox.likelihoods import Bernoulli, OptimalGaussian
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal, FullNormal, Refined
from elbox.priors import LearnedNormal, StandardNormal
from tests.closed_form.linear import data, evidence, linear_gaussian, true_posterior
from tests.components import EVENTS, decoder, event_of, example, make, of


def refined(vae: VAE, **settings: float) -> VAE:
    """The same model with its encoder's posterior refined."""
    q = Refined(vae.posterior, vae.prior, vae.likelihood, 2, **settings).double()
    return VAE(vae.prior, vae.likelihood, q)


def gap(vae: VAE, x: Tensor) -> Tensor:
    """KL(q ‖ p(z|x)) where the truth factorises."""
    truth = true_posterior(vae, x)
    exact = Normal(truth.mean, truth.variance.sqrt().expand_as(truth.mean))
    return kl_divergence(vae.encode(x).base_dist, exact).sum(-1).detach()


@pytest.mark.parametrize("prior", ["standard", "learned"])
def test_steps_lead_to_the_true_posterior(prior: str) -> None:
    torch.manual_seed(1)
    vae, x = linear_gaussian("diagonal", prior, exact=False, off=0.3), data(6)
    gaps = [gap(refined(vae, steps=k, samples=16), x) for k in (1, 5, 20, 200)]
    gaps = [gap(vae, x), *gaps]
    assert all((after < before).all() for before, after in itertools.pairwise(gaps))
    assert gaps[0].min() > 0.3
    assert gaps[3].max() < 0.2 * gaps[0].min()
    assert gaps[4].max() < 0.01
    terms = refined(vae, steps=200, samples=16).terms(x, 20_000)
    error = terms.log_w.std(0) / 20_000**0.5
    assert (terms.log_w.mean(0) < evidence(vae, x) + 4 * error).all()


def test_is_a_function_of_the_example() -> None:
    """Not of its company, its place, the random state, the mode, or whether gradients are recorded."""
    torch.manual_seed(0)
    p, decoder = LearnedNormal(2), Bernoulli(MLP(2, [8], 5, nn.Tanh))
    q, x = Refined(DiagonalNormal(MLP(5, [8], (2, 2)), 2), p, decoder, 2), torch.rand(6, 5).round()
    whole = q(x)
    torch.rand(3)
    with torch.no_grad():
        alone = q.eval()(x[4:5])
    torch.testing.assert_close(alone.mean[0], whole.mean[4], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.stddev[0], whole.stddev[4], rtol=1e-4, atol=1e-5)
    assert not alone.mean.requires_grad


def gradients(model: VAE, x: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(0)
    AnalyticKL()(model, x, ELBO(samples=4)).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def test_gradient_goes_through_the_steps_or_around_them() -> None:
    """Through: that of finite differences of the refined loss. Around: as if what the steps add were a constant."""
    torch.manual_seed(1)
    vae, x = linear_gaussian("diagonal", "learned", exact=False, off=0.2), data(3)
    through, around = refined(vae, steps=6), refined(vae, steps=6, through=False)
    found, other = gradients(through, x), gradients(around, x)
    assert set(found) == set(other)
    for name, parameter in through.named_parameters():
        numeric = torch.zeros_like(parameter).flatten()
        for i in range(parameter.numel()):
            values = []
            for by in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter.view(-1)[i] += by
                    torch.manual_seed(0)
                    values.append(AnalyticKL()(through, x, ELBO(samples=4)).loss)
                    parameter.view(-1)[i] -= by
            numeric[i] = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close(found[name].flatten(), numeric, rtol=1e-4, atol=1e-6)
    assert any((found[n] - other[n]).abs().max() > 0.01 for n in found if n.startswith("likelihood"))
    with torch.no_grad():
        start, end = vae.encode(x), around.encode(x)
        added = end.mean - start.mean, end.stddev.log() - start.stddev.log()
    expected = gradients(VAE(vae.prior, vae.likelihood, Constant(vae.posterior, *added)), x)
    assert set(other) == set(expected)
    for name, g in expected.items():
        torch.testing.assert_close(other[name], g)


class Constant(nn.Module):
    """μ_0 and log σ_0 with constants added."""

    def __init__(self, posterior: nn.Module, mean: Tensor, log_scale: Tensor) -> None:
        super().__init__()
        self.posterior, self.offset = posterior, (mean, log_scale)

    def forward(self, c: Tensor) -> torch.distributions.Distribution:
        q = self.posterior(c)
        mean, log_scale = q.mean + self.offset[0], q.stddev.log() + self.offset[1]
        return elbox.distributions.diagonal_normal(mean, log_scale.exp())


def test_encoder_learns_to_start_well() -> None:
    """Trained end to end on digits, three steps beat the same model without them, by far more than noise."""
    x = elbox.load("digits", binarise="threshold")
    recipe = elbox.recipes.semi_amortised_vae(x.spec, latent=4, hidden=(50,), steps=3)
    run = elbox.fit(recipe, x, Training(epochs=3, lr=0.005))
    model, test = run.model, x.examples("test")
    plain = VAE(model.prior, model.likelihood, model.posterior.posterior)
    after, before = (elbox.evaluate(m, test, samples=20) for m in (model, plain))
    gain = after.per_example["elbo"] - before.per_example["elbo"]
    assert gain.mean() > 4 * gain.std() / len(gain) ** 0.5


@pytest.mark.parametrize("name", [n for n in of("likelihoods") if n != "likelihoods.OptimalGaussian"])
def test_every_likelihood_has_second_derivatives(name: str) -> None:
    """What steps are differentiated by: ∂ of ∂_z log p(x|z), against finite differences."""
    torch.manual_seed(0)
    likelihood, x = make(name).double(), example(name).double()
    assert x.shape == EVENTS.get(name, event_of(name))

    def log_p(z: Tensor) -> Tensor:
        return likelihood(z).log_prob(x)

    assert torch.autograd.gradgradcheck(log_p, (torch.randn(2, 2, dtype=torch.float64, requires_grad=True),))


@pytest.mark.parametrize("estimator", [WakeSleep(), MonteCarloEM()])
def test_two_players_are_refused(estimator: elbox.estimators.Estimator) -> None:
    """The posterior's gradient would reach the model; not where nothing goes through the steps."""
    torch.manual_seed(0)
    vae, x = linear_gaussian("diagonal"), data(3)
    with pytest.raises(
        IncompatibleError, match="trains model and posterior apart, and Refined holds parts of the model"
    ):
        estimator(refined(vae, steps=2), x, ELBO())
    assert estimator(refined(vae, steps=2, through=False), x, ELBO()).loss.isfinite()


def test_what_is_refused() -> None:
    p, likelihood = StandardNormal(2), Bernoulli(decoder(5))
    start = DiagonalNormal(MLP(5, [], (2, 2)), 2)
    with pytest.raises(SettingError, match="got samples=3; expected an even number"):
        Refined(start, p, likelihood, 2, samples=3)
    with pytest.raises(SettingError, match="got steps=0"):
        Refined(start, p, likelihood, 2, steps=0)
    with pytest.raises(IncompatibleError, match="got Refined with OptimalGaussian"):
        Refined(start, p, OptimalGaussian(decoder(5)), 2)
    with pytest.raises(IncompatibleError, match=r"got a FullNormal posterior to be refined; .* use DiagonalNormal"):
        Refined(FullNormal(MLP(5, [], (4, 2)), 2), p, likelihood, 2)(torch.ones(3, 5))


def test_condition_is_seen() -> None:
    torch.manual_seed(0)
    p, likelihood = StandardNormal(2), Bernoulli(MLP(2, [8], 5, nn.Tanh, context=3))
    start = DiagonalNormal(MLP(5, [8], (2, 2), context=3), 2)
    with torch.no_grad():
        start.net.net[0].weight[:, 5:] = 0  # the encoder does not see it
    model = VAE(p, likelihood, Refined(start, p, likelihood, 2))
    x, a, b = torch.rand(4, 5).round(), torch.randn(4, 3), torch.randn(4, 3)
    assert not torch.allclose(model.encode(x, c=a).mean, model.encode(x, c=b).mean)
    assert model.terms(x, 3, c=a).log_w.shape == (3, 4)
