"""Wake–sleep: the gradient of each player against quadrature and enumeration, and nothing outside its group."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from elbox import ELBO, IWAE, VAE, IncompatibleError, Renyi, SettingError, likelihoods
from elbox.estimators import ReweightedWakeSleep, WakeSleep
from elbox.nn import MLP
from elbox.objectives import Distortion, Objective
from tests.closed_form.linear import LATENT, data, linear_gaussian
from tests.unbiased import exact
from tests.unbiased.exact import Formula, Gradient, Grid, codes, gradient, nodes, plane
from tests.unbiased.models import FEATURES, batch, model, shaken
from tests.unbiased.sampled import agree, sample, worst

BITS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
OBJECTIVES: dict[str, tuple[Objective, Formula]] = {
    "ELBO": (ELBO(samples=2), exact.elbo()),
    "beta": (ELBO(beta=0.4, samples=2), exact.elbo(0.4)),
    "IWAE": (IWAE(2), exact.renyi(0.0, 2)),
    "Renyi 0.5": (Renyi(0.5, 2), exact.renyi(0.5, 2)),
}


def binary(posterior: str = "DiagonalNormal", prior: str = "LearnedNormal") -> VAE:
    """A model of three bits, all of whose dreams can be counted."""
    torch.manual_seed(5)
    likelihood = likelihoods.Bernoulli(MLP(2, [3], FEATURES, nn.Tanh))
    return model(posterior, prior, likelihood=shaken(likelihood, 0.5))


def only(found: Gradient, *parts: str) -> Gradient:
    return {n: g for n, g in found.items() if n.split(".")[0] in parts}


def grid(vae: VAE) -> Grid:
    return codes(2) if "Coin" in type(vae.posterior).__name__ else plane()


def asleep(vae: VAE) -> Tensor:
    """E_{p(x, z)} log q(z|x), a sum over all x and nodes z."""
    z, cell = grid(vae)
    every = codes(FEATURES).z
    with torch.no_grad():
        weight = (vae.likelihood(z[:, None]).log_prob(every) + vae.prior().log_prob(z)[:, None]).exp() * cell
    assert abs(weight.sum() - 1) < 1e-6
    log_q = vae.posterior(every).log_prob(z[:, None].expand(-1, len(every), -1))
    return torch.where(weight > 1e-14, weight * log_q, torch.zeros_like(weight)).sum()


def awake(vae: VAE, x: Tensor) -> Tensor:
    """The mean over the batch of E_{z_1, z_2 ~ q} Σ_k ŵ_k log q(z_k|x), expectation and weights as constants."""

    def formula(n: exact.Nodes) -> Tensor:
        weight, log_w = n.weight.detach(), n.log_w.detach()
        first = torch.sigmoid(log_w[:, None] - log_w)  # ŵ_1 of the pair; the pair's order does not matter
        return 2 * ((weight[:, None] * weight * first).sum(1) * n.log_qz).sum()

    return exact.mean(formula, nodes(vae, x, grid(vae)))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("posterior", "prior"), [("DiagonalNormal", "NormalMixture"), ("Coins", "Coins")])
def test_model_follows_the_objective(posterior: str, prior: str, objective: str) -> None:
    """∇θ is that of the objective, for IWAE too: reweighted wake–sleep's is Σ_k ŵ_k ∇θ log p(x, z_k)."""
    vae, (goal, formula) = model(posterior, prior), OBJECTIVES[objective]
    right = gradient(vae, exact.mean(formula, nodes(vae, batch(), grid(vae))))
    agree(only(right, "prior", "likelihood"), ReweightedWakeSleep(), vae, goal, batch())


@pytest.mark.parametrize(
    ("posterior", "prior"), [("DiagonalNormal", "LearnedNormal"), ("FullNormal", "NormalMixture"), ("Coins", "Coins")]
)
def test_posterior_asleep(posterior: str, prior: str) -> None:
    vae = binary(posterior, prior)
    right = only(gradient(vae, asleep(vae)), "posterior")
    agree(right, WakeSleep(), vae, ELBO(samples=2), BITS)


@pytest.mark.parametrize(
    ("posterior", "prior"), [("DiagonalNormal", "LearnedNormal"), ("FullNormal", "NormalMixture"), ("Coins", "Coins")]
)
def test_posterior_awake(posterior: str, prior: str) -> None:
    vae = binary(posterior, prior)
    right = only(gradient(vae, awake(vae, BITS)), "posterior")
    agree(right, WakeSleep(wake=1.0, sleep=0.0), vae, IWAE(2), BITS)


def test_posterior_both() -> None:
    vae = binary()
    right = only(gradient(vae, 0.25 * awake(vae, BITS) + 0.75 * asleep(vae)), "posterior")
    agree(right, ReweightedWakeSleep(0.25, 0.75), vae, IWAE(2), BITS)


def test_posterior_does_not_follow_the_objective() -> None:
    """What `unbiased = False` says: asleep, q's gradient is another one than the ELBO's."""
    assert not WakeSleep.unbiased
    vae = binary()
    right = only(gradient(vae, exact.mean(exact.elbo(), nodes(vae, BITS, plane()))), "posterior")
    score, _ = worst(right, sample(WakeSleep(), vae, ELBO(samples=2), BITS))
    assert score > 10


def losses(vae: VAE, estimator: WakeSleep, objective: Objective) -> Gradient:
    torch.manual_seed(3)
    return gradient(vae, estimator(vae, BITS, objective).loss)


@pytest.mark.parametrize("posterior", ["DiagonalNormal", "Coins"])
def test_gradient_outside_a_players_group_is_exactly_zero(posterior: str) -> None:
    """The weights of q's losses do not move θ by a bit, and the objective does not move φ by a bit."""
    vae = binary(posterior, "Coins" if posterior == "Coins" else "LearnedNormal")
    one = losses(vae, WakeSleep(0.5, 0.5), IWAE(3))
    for wake, sleep in ((0.5, 1.0), (1.0, 0.5), (0.0, 4.0)):
        other = losses(vae, WakeSleep(wake, sleep), IWAE(3))
        assert all(torch.equal(one[n], other[n]) for n in only(one, "prior", "likelihood"))
    for objective in (ELBO(samples=3), ELBO(beta=0.1, samples=3), Renyi(0.5, 3)):
        other = losses(vae, WakeSleep(0.5, 0.5), objective)
        assert all(torch.equal(one[n], other[n]) for n in only(one, "posterior"))
    asleep, awake = losses(vae, WakeSleep(0, 1), IWAE(3)), losses(vae, WakeSleep(1, 0), IWAE(3))
    for n in only(one, "posterior"):
        torch.testing.assert_close(one[n], 0.5 * (asleep[n] + awake[n]))
        assert asleep[n].any()
        assert awake[n].any()


def maximum_likelihood(vae: VAE, x: Tensor) -> Tensor:
    """log p(x) of a linear-Gaussian model, differentiable in its parameters; the mean over the batch."""
    (layer,) = vae.likelihood.net.net
    sigma = vae.likelihood(torch.zeros(1, LATENT, dtype=x.dtype)).stddev[0]
    covariance = layer.weight @ layer.weight.T + torch.diag(sigma.square())
    return torch.distributions.MultivariateNormal(layer.bias, covariance).log_prob(x).mean()


@pytest.mark.parametrize("estimator", [WakeSleep(), ReweightedWakeSleep()], ids=["wake–sleep", "reweighted"])
def test_fixed_point_is_maximum_likelihood(estimator: WakeSleep) -> None:
    """With the true posterior: ∇θ is that of log p(x), and ∇φ is 0. So wake–sleep rests at maximum likelihood alone."""
    vae, x = linear_gaussian("full"), data(4)
    right = gradient(vae, maximum_likelihood(vae, x))
    agree(only(right, "likelihood"), estimator, vae, ELBO(samples=2), x)
    score, _ = worst(only(right, "posterior"), sample(estimator, vae, ELBO(samples=2), x))
    assert score < 6


def test_what_does_not_fit_is_refused() -> None:
    vae, x = model(), batch()
    for objective in (ELBO(free_bits=0.1), ELBO(capacity=1.0), Distortion()):
        with pytest.raises(IncompatibleError, match=r"WakeSleep needs a bound .*; use ELBO\(samples=2\), or Repar"):
            WakeSleep()(vae, x, objective)
    with pytest.raises(IncompatibleError, match=r"got ELBO with samples=1; use samples=2 or more, or WakeSleep\(\)"):
        ReweightedWakeSleep()(vae, x, ELBO())
    with pytest.raises(SettingError, match="got wake=0, sleep=0; expected one of them to be > 0"):
        WakeSleep(0.0, 0.0)
    with pytest.raises(SettingError, match=r"got wake=-1.0; expected a number ≥ 0"):
        WakeSleep(-1.0, 1.0)
