"""Discrete models in real runs: their bound rises, estimators resume to the bit, and their steps can be recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import elbox
from elbox.estimators import RELAX, Enumerated, Score, StraightThrough
from elbox.nn import MLP
from elbox.train import Training, train
from elbox.train.devices import Choice, connect
from elbox.train.step import Step
from elbox.train.update import Update
from tests.components import IMAGE, make
from tests.train.test_resume import assert_same_run

NAMES = ("nvil", "vimco", "rebar", "relax", "gumbel_vae")


@pytest.fixture(scope="module")
def digits() -> elbox.Data:
    return elbox.load("digits", binarise="threshold")


@pytest.mark.parametrize("name", NAMES)
def test_recipe_trains_on_digits(name: str, digits: elbox.Data) -> None:
    """Four epochs: the held-out bound rises by two nats or more, and model and evaluation agree on what it is."""
    recipe = elbox.recipes.RECIPES[name](digits.spec, latent=20)
    x = digits.examples("valid")
    before = elbox.evaluate(recipe.model, x, samples=20)
    run = elbox.fit(recipe, digits, Training(epochs=4, batch_size=24, lr=3e-3))
    after = elbox.evaluate(run.model, x, samples=20)
    assert after.elbo.mean > before.elbo.mean + 1
    assert after.closed_form
    assert after.elbo.mean <= after.log_likelihood.mean + 0.1
    assert {"elbo", "rate", "distortion"} <= set(run.metrics[0])


@pytest.mark.parametrize("name", ["nvil", "relax"])
def test_run_resumes_to_the_bit(name: str, tmp_path: Path) -> None:
    """With the baseline's network, its moving averages and the control variate's parameters."""
    x = torch.rand(70, *IMAGE, generator=torch.Generator().manual_seed(0)).round()
    settings = Training(epochs=3, batch_size=8, checkpoint_seconds=0.0, lr=0.01)
    for folder, stops in (("whole", [None]), ("parts", [7, 18, None])):
        (tmp_path / folder).mkdir()
        for stop in stops:
            recipe = make(f"recipes.{name}")
            step = Step(recipe.model, recipe.objective, recipe.estimator)
            train(step, x, settings, folder=tmp_path / folder, stop_after=stop, resume=stop != stops[0])
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def after(step: Step, x: Tensor, *, recorded: bool) -> dict[str, Tensor]:
    choice = Choice("cpu", "32", recorded)
    update = Update(step, Training(), choice, connect(choice))
    step.train()
    if recorded:
        update.compile(x)
    torch.manual_seed(1)
    for n in range(3):
        update(x, 0.01, n + 1)
    return {name: t.clone() for name, t in update.tensors().items()}


STEPS = {
    "RELAX of IWAE": lambda: (elbox.IWAE(3), RELAX(MLP(6, [4], 1, context=5), MLP(5, [], 1))),
    "enumerated": lambda: (elbox.ELBO(beta=2.0, capacity=1.0), Enumerated()),
    "straight through": lambda: (elbox.ELBO(), StraightThrough(0.5)),
    "moving average": lambda: (elbox.ELBO(), Score(elbox.baselines.MovingAverage(0.5))),
}


@pytest.mark.parametrize("name", STEPS)
def test_recorded_step_is_the_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradients of gradients, one-hot draws and moving averages are operators like any other."""
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    found = []
    for recorded in (False, True):
        torch.manual_seed(0)
        prior, posterior = elbox.priors.CategoricalPrior(2, 3, learned=True), MLP(5, [4], (2, 3))
        likelihood = elbox.likelihoods.Bernoulli(MLP(6, [4], 5))
        model = elbox.VAE(prior, likelihood, elbox.posteriors.CategoricalCode(posterior, 2, 3))
        x = torch.rand(8, 5, generator=torch.Generator().manual_seed(0)).round()
        found.append(after(Step(model, *STEPS[name]()), x, recorded=recorded))
    assert found[0].keys() == found[1].keys()
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=2e-4, atol=2e-6, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nvil", "relax", "gumbel_vae"])
def test_compiled_step_is_the_step(name: str) -> None:
    found = []
    for recorded in (False, True):
        recipe = make(f"recipes.{name}")
        x = torch.rand(6, *IMAGE, generator=torch.Generator().manual_seed(0)).round()
        found.append(after(Step(recipe.model, recipe.objective, recipe.estimator), x, recorded=recorded))
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, rtol=2e-4, atol=2e-6, msg=lambda m, k=key: f"{k}: {m}")
