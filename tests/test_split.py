"""Two objectives for one model: each player's gradient is that of its own objective, from the same samples."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox import ELBO, IWAE, VAE, AnalyticKL, Path, Renyi, Reparameterized, Score, Training
from elbox.baselines import Baseline, InputDependent, MovingAverage
from elbox.distributions import diagonal_normal
from elbox.estimators import Covariance, Estimator, ReweightedWakeSleep, WakeSleep
from elbox.objectives import CUBO, MIWAE, PIWAE, TVO, Objective, Split
from elbox.train import train
from elbox.train.step import Step
from tests.unbiased.exact import Gradient, gradient
from tests.unbiased.models import batch, encoder, model

PAIRS: dict[str, tuple[Objective, Objective]] = {
    "PIWAE": PIWAE(2, 2).pair,
    "ELBO and IWAE": (ELBO(samples=4), IWAE(4)),
    "two β": (ELBO(beta=0.5, samples=4), ELBO(beta=2.0, samples=4)),
    "IWAE and CUBO": (IWAE(4), CUBO(2.0, 4)),
    "lower and upper TVO": (TVO(3, 4), TVO(3, 4, upper=True)),
}


def loss_and_gradient(how: Estimator, vae: VAE, objective: Objective) -> tuple[Tensor, Gradient]:
    torch.manual_seed(4)
    loss = how(vae, batch(), objective).loss
    return loss.detach(), gradient(vae, loss)


class Alone(Renyi):
    """Any objective, also one that may not train a generative model."""

    def __init__(self, objective: Objective) -> None:
        self.objective, self.samples, self.uses_rate = objective, objective.samples, objective.uses_rate
        self.path_scale, self.leave_one_out = objective.path_scale, objective.leave_one_out  # type: ignore[method-assign]

    def __call__(self, terms: object, progress: Tensor | float = 1.0) -> Tensor:
        return self.objective(terms, progress)  # type: ignore[arg-type]


@pytest.mark.parametrize("prior", ["StandardNormal", "LearnedNormal", "NormalMixture"])
@pytest.mark.parametrize("posterior", ["DiagonalNormal", "FullNormal", "zuko.MAF", "Coins"])
@pytest.mark.parametrize("how", [Reparameterized(), Path(), Score(), AnalyticKL()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("name", PAIRS)
def test_each_player_follows_its_own_objective(name: str, how: Estimator, posterior: str, prior: str) -> None:
    """On the same noise, to the last digits: the posterior's gradient is that of G alone, all others are of F alone."""
    coins, (f, g) = posterior == "Coins", PAIRS[name]
    if isinstance(how, AnalyticKL) and (name != "two β" or posterior not in ("DiagonalNormal", "FullNormal")):
        return
    if (coins and not isinstance(how, Score)) or (isinstance(how, AnalyticKL) and prior == "NormalMixture"):
        return
    vae = model(posterior, "Coins" if coins else prior)
    loss, found = loss_and_gradient(how, vae, Split(f, g))
    value, of_f = loss_and_gradient(how, vae, f)
    _, of_g = loss_and_gradient(how, vae, g if g.fits_model else Alone(g))
    torch.testing.assert_close(loss, value)
    for n in found:
        torch.testing.assert_close(found[n], of_g[n] if n.startswith("posterior") else of_f[n], msg=n)


def test_covariance_of_two_players() -> None:
    vae, f, g = model("Coins", "Coins"), TVO(3, 4), TVO(1, 4)
    found, of_f, of_g = (loss_and_gradient(Covariance(), vae, o)[1] for o in (Split(f, g), f, g))
    for n in found:
        torch.testing.assert_close(found[n], of_g[n] if n.startswith("posterior") else of_f[n], msg=n)


def test_a_prior_that_shares_the_posterior_follows_the_inference_model_there() -> None:
    """As in a VampPrior: what is the posterior's own moves by G through both, the rest of the prior by F."""

    class Shared(LazyDistribution):
        def __init__(self, posterior: nn.Module) -> None:
            super().__init__()
            self.posterior, self.seen = posterior, nn.Parameter(torch.tensor([0.3, -0.5, 0.8]).double())

        def forward(self, c: object = None) -> Distribution:
            q = self.posterior(self.seen)
            return diagonal_normal(q.mean, q.stddev)

    vae = model()
    vae.prior = Shared(vae.posterior)
    found, of_f, of_g = (loss_and_gradient(Reparameterized(), vae, o)[1] for o in (PIWAE(2, 2), IWAE(4), MIWAE(2, 2)))
    for n in found:  # the shared weights are called by their first place, prior.posterior
        torch.testing.assert_close(found[n], of_g[n] if "posterior" in n else of_f[n], msg=n)


def test_samples_are_drawn_once() -> None:
    """One call of the encoder, two of the decoder on the same codes; values and logs are those of F."""
    vae, seen = model(), []
    calls = []
    vae.posterior.register_forward_hook(lambda *_: calls.append("q"))
    vae.likelihood.register_forward_hook(lambda _, z, __: seen.append(z[0].detach()))
    torch.manual_seed(4)
    estimate = Reparameterized()(vae, batch(), PIWAE(2, 2))
    assert calls == ["q"]
    assert len(seen) == 2
    assert torch.equal(*seen)
    torch.manual_seed(4)
    torch.testing.assert_close(estimate.objective, IWAE(4)(vae.terms(batch(), 4)))


@pytest.mark.parametrize(
    ("objective", "how"),
    [
        pytest.param(PIWAE(2, 2), Path(), id="PIWAE-Path"),
        pytest.param(PIWAE(2, 2), Score(), id="PIWAE-Score", marks=pytest.mark.slow),
        pytest.param(Split(IWAE(4), CUBO(2.0, 4)), Path(), id="CUBO-Path", marks=pytest.mark.slow),
    ],
)
def test_players_train_together_eagerly_and_recorded(how: Estimator, objective: Objective) -> None:
    """The step with two players is recorded and compiled like any other, and ends where the eager one does."""
    x, ends = torch.randn(48, 3), []
    for compile in (False, True):
        vae = model().float()
        step = Step(vae, objective, how)
        result = train(step, x, Training(epochs=2, batch_size=48, compile=compile, device="cpu", precision="32"))
        assert all(torch.isfinite(torch.tensor(row["objective"])) for row in result.history if row["split"] == "train")
        ends.append([p.detach().clone() for p in vae.parameters()])
    for eager, recorded in zip(*ends, strict=True):
        torch.testing.assert_close(eager, recorded, atol=1e-4, rtol=1e-3)


def test_cubo_leaves_the_generative_model_to_iwae() -> None:
    vae = model("DiagonalNormal", "LearnedNormal")
    _, of_split = loss_and_gradient(Reparameterized(), vae, Split(IWAE(4), CUBO(2.0, 4)))
    _, of_iwae = loss_and_gradient(Reparameterized(), vae, IWAE(4))
    for n in of_split:
        same = torch.allclose(of_split[n], of_iwae[n])
        assert same != n.startswith("posterior"), n


@pytest.mark.parametrize("baseline", [MovingAverage, lambda: InputDependent(encoder(1), normalize=True)])
def test_a_baseline_learns_from_the_inference_model_alone(baseline: Callable[[], Baseline]) -> None:
    """The generative model has no score to be judged, so its objective is none of a baseline's business."""
    f, g, learned = ELBO(samples=2), ELBO(beta=3.0, samples=2), []
    for objective in (Split(f, g), g):
        torch.manual_seed(4)
        how = Score(baseline()).double().train()
        loss = how(model("Coins", "Coins"), batch(), objective).loss
        loss.backward()
        learned.append([*how.buffers(), *(p.grad for p in how.parameters())])
    assert any(t.any() for t in learned[1])
    for of_split, of_g in zip(*learned, strict=True):
        torch.testing.assert_close(of_split, of_g)


@pytest.mark.parametrize("how", [WakeSleep(), ReweightedWakeSleep()])
def test_a_night_is_dreamt_once(how: WakeSleep) -> None:
    """One dream, for the inference model: the data and the dreams are each encoded once, and decoded twice and once."""
    vae, calls = model(), {"posterior": 0, "likelihood": 0}
    for name in calls:

        def count(*_: object, name: str = name) -> None:
            calls[name] += 1

        getattr(vae, name).register_forward_hook(count)
    how(vae, batch(), PIWAE(2, 2))
    assert calls == {"posterior": 2, "likelihood": 3}
