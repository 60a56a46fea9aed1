"""Quantised codes in real runs: their bound rises, they are saved, resumed to the bit and recorded, table and all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import elbox
from elbox.nn import MLP, Codebook
from elbox.objectives import ELBO, Commitment, Penalized, Split
from elbox.posteriors import QuantizedCode
from elbox.priors import CodePrior
from elbox.train import Training, train
from elbox.train.step import Step
from tests.components import IMAGE, make
from tests.train.test_discrete import after
from tests.train.test_resume import assert_same_run

NAMES = ("vq_vae", "residual_vq_vae", "fsq_vae")


@pytest.fixture(scope="module")
def digits() -> elbox.Data:
    return elbox.load("digits")


@pytest.mark.parametrize("name", NAMES)
def test_recipe_trains_is_saved_and_loaded(name: str, digits: elbox.Data, tmp_path: Path) -> None:
    """The bound rises; the codebook of posterior and prior is one object again, and each number the same."""
    recipe = elbox.recipes.RECIPES[name](digits.spec, hidden=(8, 16), **({} if name == "fsq_vae" else {"codes": 16}))
    x = digits.examples("valid")
    before = elbox.evaluate(recipe.model, x)
    run = elbox.fit(recipe, digits, Training(epochs=6, batch_size=24, lr=3e-3), out=tmp_path / "run")
    after = elbox.evaluate(run.model, x)
    assert after.elbo.mean > before.elbo.mean + 20
    assert after.code_perplexity[0] > 2
    loaded = elbox.load_run(tmp_path / "run").model
    assert loaded.prior.codebook is loaded.posterior.codebook
    assert elbox.evaluate(loaded, x).elbo == after.elbo


def learned() -> elbox.Recipe:
    """A codebook with a gradient, and a network that learns the prior at the same time."""
    torch.manual_seed(0)
    codebook = Codebook(6, 3, depth=2, decay=None)
    prior = CodePrior(codebook, 4, elbox.nn.PixelCNN((2, 2), 6, depth=2, hidden=4, layers=1))
    likelihood = elbox.likelihoods.Bernoulli(elbox.nn.Summed(MLP(12, [6], IMAGE), 2))
    model = elbox.VAE(prior, likelihood, QuantizedCode(MLP(IMAGE, [6], (4, 3)), codebook))
    return elbox.Recipe(model, Penalized(ELBO(), [Commitment()]), elbox.estimators.StraightThrough())


CASES = {
    "averages": lambda: make("recipes.vq_vae"),
    "residual": lambda: make("recipes.residual_vq_vae"),
    "finite scalars": lambda: make("recipes.fsq_vae"),
    "gradient, learned prior": learned,
}


def images(n: int) -> Tensor:
    return torch.rand(n, *IMAGE, generator=torch.Generator().manual_seed(0)).round()


@pytest.mark.parametrize("name", CASES)
def test_run_resumes_to_the_bit(name: str, tmp_path: Path) -> None:
    """With its table, the usage of its codes, and the random vectors that revive dead ones."""
    settings = Training(epochs=3, batch_size=8, checkpoint_seconds=0.0, lr=0.01)
    for folder, stops in (("whole", [None]), ("parts", [7, 18, None])):
        (tmp_path / folder).mkdir()
        for stop in stops:
            recipe = CASES[name]()
            step = Step(recipe.model, recipe.objective, recipe.estimator)
            train(step, images(70), settings, folder=tmp_path / folder, stop_after=stop, resume=stop != stops[0])
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def same_updates(name: str) -> None:
    found = []
    for recorded in (False, True):
        recipe = CASES[name]()
        found.append(after(Step(recipe.model, recipe.objective, recipe.estimator), images(12), recorded=recorded))
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=2e-4, atol=2e-6, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", CASES)
def test_recorded_step_is_the_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches, look-ups, revival and the table's own update are operators like any other."""
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    same_updates(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["averages", "gradient, learned prior"])
def test_compiled_step_is_the_step(name: str) -> None:
    same_updates(name)


def test_two_players_read_one_table() -> None:
    """`Split` evaluates the model twice at the same codes; the table moves once."""
    recipe = make("recipes.vq_vae")
    step = Step(recipe.model, Split(ELBO(), ELBO()), recipe.estimator).train()
    loss, _ = step(images(8))
    assert loss.isfinite()
    assert recipe.model.posterior.codebook.batches == 1


def test_second_stage_lowers_the_rate_and_nothing_else(digits: elbox.Data) -> None:
    """A network fitted to the codes by maximum likelihood: a smaller rate, the same distortion, exact samples."""
    recipe = elbox.recipes.vq_vae(digits.spec, latent=8, codes=16, hidden=(8, 16))
    model = elbox.fit(recipe, digits, Training(epochs=6, batch_size=24, lr=3e-3)).model
    prior = CodePrior(model.posterior.codebook, 4, elbox.nn.CausalTransformer(4, 16, width=16, heads=2, layers=1))
    z, optimizer = elbox.encode(model, digits.examples("train")), torch.optim.Adam(prior.net.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        (-prior().log_prob(z).mean()).backward()
        optimizer.step()
    fitted = elbox.VAE(prior, model.likelihood, model.posterior)
    old, new = (elbox.evaluate(m, digits.examples("test")) for m in (model, fitted))
    assert new.distortion == old.distortion
    assert new.rate.mean < old.rate.mean - 1
    assert new.bits_per_dim.mean < old.bits_per_dim.mean
    assert fitted.sample(3).shape == (3, *digits.spec.event_shape)
