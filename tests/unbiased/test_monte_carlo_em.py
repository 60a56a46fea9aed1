"""Monte-Carlo EM: the gradient of θ is that of log p(x), that of φ follows the true posterior; its chains are tuned."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Beta, Dirichlet, Distribution, Exponential, Gamma, MultivariateNormal, kl_divergence

from elbox import ELBO, IWAE, VAE, IncompatibleError, Renyi, SettingError, Training, recipes
from elbox.distributions import VonMises
from elbox.estimators import MonteCarloEM, WakeSleep
from elbox.likelihoods import Gaussian
from elbox.nn import MLP, Angles
from elbox.objectives import Distortion
from elbox.posteriors import Factorized
from elbox.priors import Factorized as Prior
from elbox.train import train
from elbox.train.step import Step
from tests.closed_form.linear import data, linear_gaussian, true_posterior
from tests.components import BINARY
from tests.unbiased.exact import Gradient, gradient
from tests.unbiased.models import batch, encoder, model, shaken
from tests.unbiased.sampled import agree, sample, worst
from tests.unbiased.test_wake_sleep import only


def log_evidence(vae: VAE, x: Tensor) -> Tensor:
    """Mean of log p(x) of a linear-Gaussian model, differentiable in all parameters of prior and likelihood."""
    (layer,) = vae.likelihood.net.net
    sigma = vae.likelihood(torch.zeros(1, 2, dtype=x.dtype)).stddev[0]
    p = vae.prior()
    covariance = layer.weight @ torch.diag(p.variance) @ layer.weight.T + torch.diag(sigma.square())
    return MultivariateNormal(p.mean @ layer.weight.T + layer.bias, covariance).log_prob(x).mean()


def of_model(vae: VAE, x: Tensor) -> Gradient:
    return only(gradient(vae, log_evidence(vae, x)), "prior", "likelihood")


@pytest.mark.parametrize("prior", ["standard", "learned"])
@pytest.mark.parametrize("objective", [ELBO(), IWAE(3), Renyi(0.5, 2)], ids=["ELBO", "IWAE", "Renyi"])
def test_model_follows_the_evidence(objective: ELBO, prior: str) -> None:
    """From starts that are off: ∇θ log p(x), whatever bound is reported."""
    torch.manual_seed(2)
    vae, x = linear_gaussian("full", prior, exact=False, off=0.1), data(4)
    agree(of_model(vae, x), MonteCarloEM(5, transitions=40, step=0.27), vae, objective, x)


def test_posterior_follows_the_true_one() -> None:
    """∇φ is that of −KL(p(z|x) ‖ q(z|x))."""
    torch.manual_seed(2)
    vae, x = linear_gaussian("full", exact=False, off=0.1), data(4)
    truth = true_posterior(vae, x)
    fixed = MultivariateNormal(truth.mean.detach(), truth.covariance_matrix.detach())
    right = only(gradient(vae, -kl_divergence(fixed, vae.posterior(x)).mean()), "posterior")
    agree(right, MonteCarloEM(5, transitions=40, step=0.27), vae, ELBO(), x)


def test_from_the_true_posterior_one_transition_is_enough() -> None:
    torch.manual_seed(2)
    vae, x = linear_gaussian("full", "learned"), data(4)
    agree(of_model(vae, x), MonteCarloEM(2, step=0.3), vae, ELBO(), x)


def test_short_chains_from_a_wrong_start_are_found() -> None:
    """What the chains are for: hardly moved, θ follows wake–sleep's gradient and not the evidence's."""
    torch.manual_seed(2)
    vae, x = linear_gaussian("full", exact=False, off=0.3), data(4)
    em = MonteCarloEM(1, step=1e-3).eval()
    score, _ = worst(of_model(vae, x), sample(em, vae, ELBO(), x, copies=2000))
    assert score > 10


def test_value_is_the_bound_at_the_start() -> None:
    """No gradient of θ comes of the bound, nor of q's loss: to the bit."""
    vae, x, found = model("DiagonalNormal", "LearnedNormal"), batch(), []
    for objective in (ELBO(samples=3), IWAE(3)):
        torch.manual_seed(1)
        estimate = MonteCarloEM(3)(vae, x, objective)
        torch.manual_seed(1)
        expected = objective(vae.terms(x, 3))
        torch.testing.assert_close(estimate.objective, expected)
        torch.testing.assert_close(estimate.loss, -expected.mean())
        found.append(gradient(vae, estimate.loss))
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])


def test_step_size_is_adapted_in_training_alone() -> None:
    torch.manual_seed(0)
    vae, x = linear_gaussian("full", exact=False), data(50)
    em, rates = MonteCarloEM(5, acceptance=0.8, step=0.01), []
    for _ in range(150):
        em(vae, x, ELBO())
        rates.append(em.logs()["acceptance"].item())
    assert sum(rates[-50:]) / 50 == pytest.approx(0.8, abs=0.03)
    assert em.logs()["step_size"] > 0.1
    before = em.logs()["step_size"].clone()
    em.eval()(vae, x, ELBO())
    assert torch.equal(em.logs()["step_size"], before)


def em_step() -> Step:
    recipe = recipes.mcem(BINARY, latent=2, hidden=(6,), leapfrogs=3)
    return Step(recipe.model, recipe.objective, recipe.estimator)


def coins(n: int) -> Tensor:
    """Images whose pixels are mostly on, in the upper half, or off."""
    share = torch.where(torch.arange(8)[:, None] < 4, 0.9, 0.1).expand(BINARY.event_shape)
    return (torch.rand(n, *BINARY.event_shape) < share).float()


def test_training_logs_acceptance() -> None:
    """The rate is logged, the step size moves, and the bound rises."""
    step = em_step()
    before = step.estimator.log_step.clone()
    result = train(step, coins(64), Training(epochs=6, batch_size=16, lr=0.02, device="cpu"))
    rows = [row for row in result.history if row["split"] == "train"]
    assert set(rows[0]) >= {"acceptance", "step_size", "objective", "elbo"}
    assert 0 < rows[-1]["acceptance"] <= 1
    assert rows[-1]["elbo"] > rows[0]["elbo"] + 1
    assert not torch.equal(step.estimator.log_step, before)


@pytest.mark.slow
def test_compiled_and_eager_agree() -> None:
    x, ends = coins(32), []
    for compile in (False, True):
        step = em_step()
        train(step, x, Training(epochs=3, batch_size=32, compile=compile, device="cpu", precision="32"))
        ends.append([*step.parameters(), *step.buffers()])
    for eager, recorded in zip(*ends, strict=True):
        torch.testing.assert_close(eager, recorded, atol=1e-4, rtol=1e-3)


def test_step_size_is_part_of_a_checkpoint(tmp_path: Path) -> None:
    x, settings = coins(32), Training(epochs=4, batch_size=16, device="cpu")
    whole, first, second = em_step(), em_step(), em_step()
    train(whole, x, settings)
    train(first, x, settings, folder=tmp_path, stop_after=3)
    train(second, x, settings, folder=tmp_path, resume=True)
    assert torch.equal(whole.estimator.log_step, second.estimator.log_step)
    assert not torch.equal(first.estimator.log_step, second.estimator.log_step)


@pytest.mark.parametrize("objective", [ELBO(beta=2.0), ELBO(free_bits=0.1), Renyi(-1.0, 3), Distortion()])
def test_other_goals_are_refused(objective: ELBO) -> None:
    with pytest.raises(IncompatibleError, match=r"MonteCarloEM climbs log p\(x\) itself, .* use ELBO\(\)"):
        MonteCarloEM()(model(), batch(), objective)


def of_family(family: type[Distribution], latent: int) -> VAE:
    """Posterior and prior of one family, the prior learned, in double precision."""
    net = MLP(2 * latent, [4], 3, nn.Tanh)
    likelihood = Gaussian(Angles(net) if family is VonMises else MLP(latent, [4], 3, nn.Tanh))
    q = Factorized(encoder(*Factorized.output_shape(latent, family)), latent, family)
    return VAE(shaken(Prior(latent, family, learned=True), 0.5), shaken(likelihood, 0.5), shaken(q))


@pytest.mark.slow
def test_angles_may_go_round() -> None:
    """On a circle chains leave [−π, π), and θ follows log p(x) = log ∫ p(z) p(x|z) dz all the same."""
    torch.manual_seed(1)
    vae, x = of_family(VonMises, 1), batch()
    z = torch.linspace(-math.pi, math.pi, 257, dtype=torch.float64)[:-1, None]
    log_joint = vae.likelihood(z[:, None]).log_prob(x) + vae.prior().log_prob(z)[:, None]
    evidence = (torch.logsumexp(log_joint, 0) + math.log(2 * math.pi / 256)).mean()
    right = only(gradient(vae, evidence), "prior", "likelihood")
    agree(right, MonteCarloEM(8, transitions=40, step=0.5), vae, ELBO(), x)


@pytest.mark.parametrize(
    ("family", "where"),
    [
        (Exponential, "positive numbers"),
        (Gamma, "positive numbers"),
        (Beta, r"\(0.0, 1.0\)"),
        (Dirichlet, "the simplex"),
        (None, "discrete codes"),
    ],
)
def test_chains_know_no_edges(family: type[Distribution] | None, where: str) -> None:
    """Densities go on beyond their support, and chains would follow them there; codes without a `Code` are codes."""
    vae = model("Coins", "Coins") if family is None else of_family(family, 2)
    with pytest.raises(IncompatibleError, match=rf"real latent variables, got a prior over {where}; use WakeSleep\(\)"):
        MonteCarloEM()(vae, batch(), ELBO())
    assert WakeSleep()(vae, batch(), ELBO()).loss.isfinite()


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"leapfrogs": 0}, "got leapfrogs=0; expected a whole number ≥ 1"),
        ({"transitions": 0}, "got transitions=0; expected a whole number ≥ 1"),
        ({"acceptance": 1.0}, "got acceptance=1.0; expected a rate between 0 and 1"),
        ({"step": 0.0}, "got step=0.0; expected a number > 0"),
    ],
)
def test_bad_settings(bad: dict[str, float], expected: str) -> None:
    with pytest.raises(SettingError, match=expected):
        MonteCarloEM(**bad)
