"""Adversarial losses: their values at the best discriminator, and which player each of them moves."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal
from torch.nn.functional import softplus

from elbox import VAE, AnalyticKL, IncompatibleError, Reparameterized, Terms
from elbox.distributions import Delta, diagonal_normal
from elbox.likelihoods import Gaussian
from elbox.nn import MLP
from elbox.objectives import GAN, VAEGAN, AdversarialCodes, Contractive, DecoderSlope, Distortion, Penalized
from elbox.objectives.game import deception, detection
from elbox.objectives.renyi import IWAE
from elbox.posteriors import Deterministic, DiagonalNormal, FromPrior
from elbox.priors import LearnedNormal, NormalMixture, StandardNormal
from elbox.terms import Group

P, Q = Normal(torch.tensor(0.0).double(), 1.0), Normal(torch.tensor(0.7).double(), 1.6)
N = 200_000


def quantiles(p: Distribution) -> Tensor:
    """Points of which each stands for 1/N of the mass: means over them are integrals."""
    return p.icdf((torch.arange(N, dtype=torch.float64) + 0.5) / N)


def integral(f: Callable[[Tensor], Tensor]) -> float:
    y = torch.linspace(-14, 14, 200_001, dtype=torch.float64)
    return torch.trapezoid(f(y), y).item()


class LogRatio(nn.Module):
    """c (log p − log q) + d: the best discriminator of the two at c = 1, d = 0."""

    def __init__(self) -> None:
        super().__init__()
        self.c, self.d = nn.Parameter(torch.tensor(1.0).double()), nn.Parameter(torch.tensor(0.0).double())

    def forward(self, y: Tensor) -> Tensor:
        return self.c * (P.log_prob(y) - Q.log_prob(y)) + self.d


def jensen_shannon() -> float:
    """JSD(p, q), nats."""

    def f(y: Tensor) -> Tensor:
        p, q = P.log_prob(y), Q.log_prob(y)
        mixed = torch.logaddexp(p, q) - math.log(2)
        return 0.5 * (p.exp() * (p - mixed) + q.exp() * (q - mixed))

    return integral(f)


def test_the_best_discriminators_loss_is_the_divergence() -> None:
    """2 log 2 − 2 JSD (Goodfellow et al., 2014, theorem 1), and there it is stationary, a minimum."""
    best = LogRatio()
    loss = detection(best(quantiles(P)), best(quantiles(Q)))
    assert loss.item() == pytest.approx(2 * math.log(2) - 2 * jensen_shannon(), abs=1e-5)
    slopes = torch.autograd.grad(loss, best.parameters())
    assert all(abs(s.item()) < 1e-5 for s in slopes)
    for name, by in (("c", 0.1), ("c", -0.1), ("d", 0.1), ("d", -0.1)):
        worse = LogRatio()
        with torch.no_grad():
            getattr(worse, name).add_(by)
        assert detection(worse(quantiles(P)), worse(quantiles(Q))) > loss


def test_deception_at_the_best_discriminator() -> None:
    """−E_q[log(p / (p + q))]."""
    right = integral(lambda y: Q.log_prob(y).exp() * (torch.logaddexp(P.log_prob(y), Q.log_prob(y)) - P.log_prob(y)))
    assert deception(LogRatio()(quantiles(Q))).mean().item() == pytest.approx(right, abs=1e-5)


class Even(Normal):
    """Draws evenly, each for an equal share of the mass of P."""

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return quantiles(P).reshape(*sample_shape)

    rsample = sample


def even_terms() -> Terms:
    z = quantiles(Q)[None].requires_grad_()
    prior = Even(torch.tensor(0.0).double(), 1.0)
    nothing = torch.zeros(1, N, dtype=torch.float64)
    return Terms(nothing, {"z": Group(z, nothing, nothing, prior, Delta(z[0], 0))})


def test_adversarial_codes_are_these_losses() -> None:
    terms, penalty = even_terms(), AdversarialCodes(LogRatio(), 3.0)
    assert penalty.own_loss(terms).item() == pytest.approx(2 * math.log(2) - 2 * jensen_shannon(), abs=1e-5)
    torch.testing.assert_close(penalty(terms), deception(LogRatio()(quantiles(Q))))
    found = Penalized(Distortion(), [penalty])(terms)
    torch.testing.assert_close(found, -3 * deception(LogRatio()(quantiles(Q))))


# ── players ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def vae(posterior: nn.Module | None = None) -> VAE:
    torch.manual_seed(0)
    q = posterior or DiagonalNormal(MLP(5, [6], (2, 2), nn.Tanh), 2)
    return VAE(StandardNormal(2), Gaussian(MLP(2, [6], 5, nn.Tanh)), q).double()


def wide(module: nn.Module) -> nn.Module:
    """In double precision, with no weight at 0."""
    for p in module.parameters():
        p.data.add_(0.2 * torch.randn_like(p))
    return module.double()


def judge(inputs: int) -> nn.Module:
    return wide(MLP(inputs, [6], (), nn.Tanh))


def without_encoder() -> VAE:
    prior = StandardNormal(2)
    return VAE(prior, Gaussian(MLP(2, [6], 5, nn.Tanh)), FromPrior(prior)).double()


def codes(samples: int = 1) -> Penalized:
    return Penalized(Distortion(samples), [AdversarialCodes(judge(2), 0.7)])


def coded() -> VAE:
    return vae(Deterministic(MLP(5, [6], 2, nn.Tanh), 2))


GAMES = {
    "codes": (coded, codes),
    "codes of a distribution": (vae, lambda: codes(2)),
    "gan": (without_encoder, lambda: GAN(judge(5))),
    "vae-gan": (vae, lambda: VAEGAN(wide(MLP(5, [6], 3, nn.Tanh)), judge(3), gamma=0.3, samples=2)),
}
PLAYERS = {
    "codes": ("encoder decoder", "discriminator"),
    "codes of a distribution": ("encoder decoder", "discriminator"),
    "gan": ("decoder", "discriminator"),
    "vae-gan": ("encoder", "decoder", "discriminator"),
}


def moved(model: nn.Module, objective: nn.Module, loss: Tensor) -> set[str]:
    """The players with a gradient that is not exactly 0."""
    parts = {"encoder": model.posterior, "decoder": model.likelihood, "discriminator": objective}
    named = [(name, p) for name, part in parts.items() for p in part.parameters()]
    gradients = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True, retain_graph=True)
    return {name for (name, _), g in zip(named, gradients, strict=True) if g is not None and bool(g.any())}


@pytest.mark.parametrize("name", GAMES)
def test_each_loss_moves_its_own_player_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each loss in turn with the others at zero: the gradient outside its group is exactly zero, inside it is not."""
    model, objective = GAMES[name][0](), GAMES[name][1]()
    others: list[Tensor] = []
    for file in ("penalized", "gan", "vae_gan"):
        module = import_module(f"elbox.objectives.{file}")
        monkeypatch.setattr(module, "aside", lambda loss: others.append(loss) or torch.zeros(()))
    value = objective(model.terms(torch.randn(4, 5).double(), objective.samples))
    losses = [-value.mean(), *others]
    assert len(losses) == len(PLAYERS[name])
    for loss, players in zip(losses, PLAYERS[name], strict=True):
        assert moved(model, objective, loss) == set(players.split())


def test_deception_of_codes_moves_the_encoder_alone() -> None:
    model, objective = GAMES["codes"][0](), GAMES["codes"][1]()
    deceived = objective.penalties[0](model.terms(torch.randn(4, 5).double()))
    assert moved(model, objective, deceived.mean()) == {"encoder"}


def gradients(loss: Tensor, module: nn.Module) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(module.parameters()), allow_unused=True, retain_graph=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, module.parameters(), strict=True)]


@pytest.mark.parametrize("estimator", [Reparameterized(), AnalyticKL()])
def test_vae_gan_is_algorithm_1(estimator: Reparameterized | AnalyticKL) -> None:
    """The one scalar has, for each player, the gradient of that player's loss written out."""
    model, x = vae(), torch.randn(4, 5).double()
    features, head, gamma = wide(MLP(5, [6], 3, nn.Tanh)), judge(3), 0.3
    objective = VAEGAN(features, head, gamma, samples=2)
    torch.manual_seed(1)
    loss = estimator(model, x, objective).loss
    torch.manual_seed(1)
    terms = model.terms(x, 2)
    if isinstance(estimator, AnalyticKL):
        terms = replace(terms, groups={"z": terms.groups["z"].with_kl()})
    again, drawn = terms.px.mean, model.decode(model.prior().sample((2, 4))).mean
    likeness = (0.5 * (features(x) - features(again)).square().sum(-1)).mean()

    def no(y: Tensor) -> Tensor:  # −log(1 − D)
        return softplus(head(features(y))).mean()

    def yes(y: Tensor) -> Tensor:  # −log D
        return softplus(-head(features(y))).mean()

    encoder = terms.rate.mean() + likeness
    torch.testing.assert_close(loss, encoder)
    torch.testing.assert_close(gradients(loss, model.posterior), gradients(encoder, model.posterior))
    decoder = gamma * likeness + yes(again) + yes(drawn)
    torch.testing.assert_close(gradients(loss, model.likelihood), gradients(decoder, model.likelihood))
    critic = yes(x) + no(again) + no(drawn)
    torch.testing.assert_close(gradients(loss, objective), gradients(critic, objective))


def test_gan_is_algorithm_1() -> None:
    model, x, objective = without_encoder(), torch.randn(4, 5).double(), GAN(judge(5))
    torch.manual_seed(1)
    loss = Reparameterized()(model, x, objective).loss
    torch.manual_seed(1)
    made = model.decode(model.prior().sample((1, 4))).mean
    generator = softplus(-objective.discriminator(made)).mean()
    critic = softplus(-objective.discriminator(x)).mean() + softplus(objective.discriminator(made)).mean()
    torch.testing.assert_close(loss, generator)
    torch.testing.assert_close(gradients(loss, model.likelihood), gradients(generator, model.likelihood))
    torch.testing.assert_close(gradients(loss, objective), gradients(critic, objective))


# ── models without an encoder, and models that do not fit ───────────────────────────────────────────────────────────


def test_without_an_encoder_the_rate_is_zero_and_the_likelihood_a_plain_average() -> None:
    model, x = without_encoder(), torch.randn(3, 5).double()
    terms = model.terms(x, samples=200)
    assert not terms.rate.any()
    torch.testing.assert_close(IWAE(200)(terms), torch.logsumexp(terms.log_px, 0) - math.log(200))
    torch.testing.assert_close(model.encode(x).mean, torch.zeros(3, 2).double())


@pytest.mark.parametrize("prior", [StandardNormal(2), LearnedNormal(2), NormalMixture(2)])
def test_codes_without_an_encoder_are_draws_of_the_prior(prior: nn.Module) -> None:
    q = FromPrior(prior)(torch.zeros(3, 5))
    z = torch.randn(7, 3, 2)
    assert q.batch_shape == (3,)
    torch.testing.assert_close(q.log_prob(z), prior().log_prob(z))
    assert FromPrior(prior)((torch.zeros(3, 5), torch.zeros(3, 1))).batch_shape == (3,)


@pytest.mark.parametrize("batch", [(), (4,)])
def test_draws_have_the_shape_of_codes(batch: tuple[int, ...]) -> None:
    p = diagonal_normal(torch.zeros(*batch, 2), torch.ones(*batch, 2))
    nothing = torch.zeros(3, 4)
    assert Group(torch.zeros(3, 4, 2), nothing, nothing, p, p).prior_draws("").shape == (3, 4, 2)


@pytest.mark.parametrize("groups", [1, 2])
def test_adversaries_of_codes_need_one_group_with_a_prior(groups: int) -> None:
    terms = VAE(None, Gaussian(MLP(2, [], 5)), Deterministic(MLP(5, [], 2), 2)).terms(torch.zeros(3, 5))
    terms = replace(terms, groups={str(i): terms.groups["z"] for i in range(groups)})
    got = (
        "got a model with no prior; use a StandardNormal prior"
        if groups == 1
        else "got 2 groups; use a DiagonalNormal posterior"
    )
    for objective in (
        Penalized(Distortion(), [AdversarialCodes(MLP(2, [], ()))]),
        VAEGAN(MLP(5, [], 3), MLP(3, [], ())),
    ):
        with pytest.raises(IncompatibleError, match=got):
            objective(terms)


def test_a_condition_goes_with_every_code() -> None:
    """Codes that are decoded anew, with several samples or probes, each have the condition of their example."""
    torch.manual_seed(0)
    q = DiagonalNormal(MLP(5, [6], (2, 2), context=3), 2)
    model = VAE(StandardNormal(2), Gaussian(MLP(2, [6], 5, context=3)), q)
    x, c = torch.randn(4, 5), torch.randn(4, 3)
    judges = (DecoderSlope(), Contractive(), VAEGAN(MLP(5, [], 3), MLP(3, [], ()), samples=3))
    for found in judges:
        torch.manual_seed(1)
        together = found(model.terms(x, 1, c=c))
        torch.manual_seed(1)
        shuffled = found(model.terms(x, 1, c=c.flip(0)))
        assert together.shape == (4,)
        assert not torch.equal(together, shuffled)
        assert found(model.terms(x, 3, c=c)).shape == (4,)
    z = torch.randn(3, 4, 2)
    torch.testing.assert_close(model.decode(z, c=c).mean[1], model.decode(z[1], c=c).mean)
