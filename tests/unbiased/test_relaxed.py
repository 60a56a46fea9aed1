"""The bias of relaxed and straight-through gradients: its sign and size, from quadrature, and how it falls with λ."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from elbox import ELBO, IWAE, VAE, likelihoods
from elbox.estimators import Enumerated, Estimator, Relaxed, StraightThrough
from elbox.likelihoods import Gaussian
from elbox.nn import MLP, LogTotal
from elbox.posteriors import BernoulliCode, Corrupted
from elbox.priors import BernoulliPrior
from elbox.schedules import Linear
from tests.unbiased import codes, exact, toy
from tests.unbiased.codes import FAMILIES
from tests.unbiased.exact import gradient, nodes
from tests.unbiased.models import FEATURES, batch, shaken

THETA, T = 0.3, 0.45


def logistic(n: int = 40_001) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a quadrature over the logistic noise: the mid-points of n equal parts of its probability."""
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return torch.logit(u), torch.full((n,), 1 / n, dtype=torch.float64)


def relaxed_gradient(theta: float, t: float, temperature: float) -> float:
    """d/dl E[−π (σ((l + ε)/λ) − t)²]."""
    noise, weight = logistic()
    logit = torch.logit(torch.tensor(theta, dtype=torch.float64)).requires_grad_()
    soft = torch.sigmoid((logit + noise) / temperature)
    value = (weight * -math.pi * (soft - t).square()).sum()
    return torch.autograd.grad(value, logit)[0].item()


def straight_gradient(theta: float, t: float, temperature: float | None) -> float:
    """E[−2π (b − t) ds/dl], b = 1 where ε > −l, s = σ(l) or σ((l + ε)/λ)."""
    noise, weight = logistic()
    logit = torch.logit(torch.tensor(theta, dtype=torch.float64))
    slope = theta * (1 - theta) * torch.ones_like(noise)
    if temperature is not None:
        soft = torch.sigmoid((logit + noise) / temperature)
        slope = soft * (1 - soft) / temperature
    b = (logit + noise > 0).double()
    return (weight * -2 * math.pi * (b - t) * slope).sum().item()


def agrees(found: Tensor, expected: float) -> bool:
    return abs(found.mean().item() - expected) < 5 * found.std().item() / math.sqrt(len(found)) + 1e-5


@pytest.mark.parametrize("temperature", [2.0, 1.0, 0.5, 0.2, 0.1])
def test_relaxed_gradient_is_that_of_the_relaxed_objective(temperature: float) -> None:
    how = Relaxed(temperature)
    assert not how.unbiased
    assert how.bias
    found = toy.draws(how, THETA, T)[:, 0]
    expected = relaxed_gradient(THETA, T, temperature)
    assert agrees(found, expected)
    bias = expected - toy.exact(THETA, T)
    if temperature >= 0.2:  # there the bias is large enough to be seen
        assert not agrees(found, toy.exact(THETA, T))
        assert math.copysign(1, found.mean().item() - toy.exact(THETA, T)) == math.copysign(1, bias)


def test_bias_of_relaxation_falls_with_the_temperature_and_its_variance_rises() -> None:
    temperatures = [1.0, 0.5, 0.25, 0.125, 0.0625]
    bias = [abs(relaxed_gradient(THETA, T, t) - toy.exact(THETA, T)) for t in temperatures]
    spread = [toy.draws(Relaxed(t), THETA, T).var().item() for t in temperatures]
    assert bias == sorted(bias, reverse=True)
    assert spread == sorted(spread)
    assert bias[-1] < 0.2 * bias[0]
    assert spread[-1] > 3 * spread[0]


@pytest.mark.parametrize("temperature", [None, 1.0, 0.3])
@pytest.mark.parametrize("theta", [0.3, 0.5, 0.8])
def test_straight_through_gradient(theta: float, temperature: float | None) -> None:
    found = toy.draws(StraightThrough(temperature), theta, T)[:, 0]
    assert agrees(found, straight_gradient(theta, T, temperature))


def test_straight_through_can_point_the_wrong_way() -> None:
    """E[2 (b − t)] θ(1 − θ) = 2 (θ − t) θ(1 − θ) instead of (1 − 2t) θ(1 − θ): the sign is wrong for θ < t < ½."""
    found = toy.draws(StraightThrough(), THETA, T).mean().item()
    size = -math.pi * THETA * (1 - THETA)
    assert found == pytest.approx(size * 2 * (THETA - T), rel=0.05)
    assert toy.exact(THETA, T) == pytest.approx(size * (1 - 2 * T))
    assert found > 0 > toy.exact(THETA, T)


class Products(nn.Module):
    """Logits that are linear in each bit, with products of bits: of a likelihood that is not linear in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 3, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        a, b, c = z.unbind(-1)
        return torch.stack([a, b, c, a * b, b * c, a * b * c], -1) @ self.weight


class Exponential(likelihoods.Poisson):
    """log p(x|z) = Σ_d h_d(z), no density at all: linear in each bit, where straight-through is right."""

    def forward(self, c: Tensor) -> torch.distributions.Distribution:
        h = self.net(c)

        class Linear(torch.distributions.Distribution):
            def __init__(self) -> None:
                super().__init__(h.shape[:-1], h.shape[-1:], validate_args=False)

            def log_prob(self, value: Tensor) -> Tensor:
                return h.sum(-1)

        return Linear()


def test_straight_through_is_right_where_the_likelihood_is_linear_in_each_bit() -> None:
    torch.manual_seed(1)
    vae = VAE(FAMILIES["bits"].prior().double(), Exponential(Products()), shaken(FAMILIES["bits"].posterior()))
    value = exact.mean(exact.elbo(), nodes(vae, batch(), FAMILIES["bits"].grid))
    right, found = gradient(vae, value), []
    for seed in range(24):
        torch.manual_seed(seed)
        loss = StraightThrough()(vae, batch().repeat(500, 1), ELBO()).loss
        found.append(gradient(vae, -loss))
    for name, g in right.items():
        stacked = torch.stack([f[name] for f in found])
        error = stacked.std(0) / math.sqrt(len(found))
        assert ((stacked.mean(0) - g).abs() <= 6 * error + 1e-9).all(), name


@pytest.mark.parametrize("family", FAMILIES)
def test_bias_on_a_whole_model_falls_with_the_temperature(family: str) -> None:
    """Of the posterior's gradient, relative to the exact one; that of prior and rate is exact at any temperature."""
    vae = codes.model(family)
    right = gradient(vae, exact.mean(exact.elbo(), nodes(vae, batch(), FAMILIES[family].grid)))
    size = sum(g.square().sum() for n, g in right.items() if n.startswith("posterior")) ** 0.5
    distance = []
    for temperature in (1.0, 0.3, 0.1):
        torch.manual_seed(0)
        loss = Relaxed(temperature)(vae, batch().repeat(200_000, 1), ELBO()).loss
        found = gradient(vae, -loss)
        torch.testing.assert_close(found["prior.logits"], right["prior.logits"])
        distance.append(sum((found[n] - right[n]).square().sum() for n in right if n.startswith("posterior")) ** 0.5)
    assert distance == sorted(distance, reverse=True)
    assert distance[0] > 0.05 * size
    assert distance[2] < 0.5 * distance[0]


@pytest.mark.parametrize("how", [Relaxed(0.5), StraightThrough(), StraightThrough(0.5)], ids=lambda h: str(h.arguments))
@pytest.mark.parametrize(
    "objective", [ELBO(samples=3), IWAE(3), ELBO(free_bits=0.1, per_dimension=True)], ids=["ELBO", "IWAE", "free bits"]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_terms_are_of_discrete_codes(family: str, objective: ELBO, how: Estimator) -> None:
    """What is logged as a bound is one; what is optimised has the loss as its value."""
    loss, value, terms = how(codes.model(family), batch(), objective)
    z = terms.groups["z"].z
    assert ((z == 0) | (z == 1)).all()
    torch.testing.assert_close(loss, -value.mean())
    if isinstance(how, StraightThrough):
        torch.testing.assert_close(value, objective(terms))


@pytest.mark.parametrize("given", [True, False])
def test_what_is_logged_is_of_the_posterior_that_was_trained(given: bool) -> None:
    """One call of the encoder, also with a condition, whoever makes it: a corrupted input is another in each call."""
    net, x = MLP(FEATURES, [3], 3, nn.Tanh, context=1), batch().abs()
    q = Corrupted(BernoulliCode(net, 3), masking=0.5)
    vae = VAE(BernoulliPrior(3), Gaussian(MLP(3, [3], FEATURES, context=1)), q, LogTotal()).double()
    encoded: list[Tensor] = []
    net.register_forward_hook(lambda *args: encoded.append(args[2].detach()))
    terms = Relaxed()(vae, x, ELBO(), c=LogTotal()(x) if given else None).terms
    (scores,) = encoded
    assert torch.equal(terms.groups["z"].posterior.scores.detach(), scores)


def test_rate_is_in_closed_form_where_the_objective_sees_only_the_rate() -> None:
    vae = codes.model("choices")
    expected = gradient(vae, Enumerated()(vae, batch(), ELBO()).terms.rate.mean())
    for how in (Relaxed(0.7), StraightThrough()):
        torch.manual_seed(1)
        whole = gradient(vae, -how(vae, batch(), ELBO(beta=1.0)).loss)
        torch.manual_seed(1)
        distortion = gradient(vae, -how(vae, batch(), ELBO(beta=0.0)).loss)
        for name, g in expected.items():
            torch.testing.assert_close(whole[name], distortion[name] - g)


def test_temperature_follows_its_schedule() -> None:
    vae, found = codes.model("bits"), []
    for how, progress in ((Relaxed(Linear(1.0, 0.5, over=1.0)), 0.5), (Relaxed(0.75), 0.0)):
        torch.manual_seed(1)
        found.append(how(vae, batch(), ELBO(), progress=torch.tensor(progress, dtype=torch.float64)).loss)
    torch.testing.assert_close(*found)
