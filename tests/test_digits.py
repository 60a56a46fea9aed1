"""Every recipe trains on scikit-learn's digits, is evaluated, saved and loaded, and is then what it was."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch

import elbox
from elbox.recipes import RECIPES
from tests.components import SPECS, small

GAMES = ("gan", "vae_gan")  # in which no loss need fall


@functools.cache
def digits(kind: str) -> elbox.Data:
    return elbox.load("digits", binarise="static") if kind == "binary" else elbox.load("digits", kind=kind)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_trains_and_comes_back(name: str, tmp_path: Path) -> None:
    data = digits(SPECS[name].kind if name in SPECS else "binary")
    recipe = small(name, data.spec, latent=2)
    settings = elbox.Training(epochs=6, batch_size=256, lr=0.01, schedule="constant", evaluations=1, compile=False)
    run = elbox.fit(recipe, data, settings, out=tmp_path / "run")
    before, after = recipe.model.state_dict(), run.model.state_dict()
    assert all(t.isfinite().all() for t in after.values())
    weights = [weight for weight, p in recipe.model.named_parameters() if p.requires_grad]
    assert [weight for weight in weights if torch.equal(before[weight], after[weight])] == [], "these have not moved"
    first, *_, last = (row for row in run.metrics if row["split"] == "train")
    falling = "loss" if name == "ms_ssim_vae" else "distortion"  # it learns from another similarity than log p(x|z)
    assert name in GAMES or last[falling] < first[falling]
    evaluation = run.evaluate(samples=5)
    assert evaluation.distortion.mean > 0
    assert (evaluation.elbo is None) == run.model.deterministic
    assert elbox.load_run(tmp_path / "run").evaluate(samples=5).to_json() == evaluation.to_json()
