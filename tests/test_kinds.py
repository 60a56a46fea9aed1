"""Every kind of data, from an array to a run, its evaluation, samples and report, with each of its likelihoods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from elbox import Training, as_examples, evaluate, fit, from_array, likelihoods, load_run, recipes, report
from elbox.likelihoods.base import DEFAULTS
from elbox.spec import KINDS

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(300, 1)) @ RNG.normal(size=(1, 6)) + 0.5 * RNG.normal(size=(300, 6))
DATA = {
    "binary": HIDDEN > 0,
    "levels": (3 + HIDDEN).clip(0, 6).round().astype(int),
    "real": HIDDEN,
    "count": RNG.poisson(np.exp(HIDDEN)),
    "unit": 1 / (1 + np.exp(-HIDDEN)),
    "positive": np.exp(HIDDEN),
    "complex": HIDDEN + 1j * HIDDEN[:, ::-1],
}
PAIRS = [
    pytest.param(kind, name, marks=() if kind == getattr(likelihoods, name).kinds[0] else pytest.mark.slow)
    for kind in KINDS
    for name in likelihoods.__all__
    if kind in getattr(likelihoods, name).kinds
]


def test_every_kind_has_data_here_and_a_default() -> None:
    assert set(DATA) == set(KINDS) == set(DEFAULTS)


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_training_improves_the_bound_and_what_is_saved_gives_the_same_numbers(
    kind: str, name: str, tmp_path: Path
) -> None:
    data = from_array(DATA[kind], kind=kind, levels=7 if kind == "levels" else None)
    recipe = recipes.vae(data.spec, latent=2, hidden=(16,), likelihood=getattr(likelihoods, name))
    before = evaluate(recipe.model, data.train.x, samples=20)
    run = fit(recipe, data, Training(epochs=8, lr=3e-3, batch_size=32), out=tmp_path / "run")
    assert run.evaluate("train", samples=20).elbo.mean > before.elbo.mean
    loaded = load_run(tmp_path / "run")
    x = as_examples(DATA[kind][:4], loaded.spec)
    torch.manual_seed(1)
    ours = run.model.terms(x.float()).log_w
    torch.manual_seed(1)
    assert torch.equal(loaded.model.terms(x.float()).log_w, ours)
    drawn = loaded.model.sample(50)
    assert loaded.model.decode(torch.zeros(2)).support.check(drawn).all()


@pytest.mark.parametrize("kind", ["count", "unit", "positive", "complex"])
def test_report_says_whether_it_is_a_density(kind: str, tmp_path: Path) -> None:
    data = from_array(DATA[kind], kind=kind, levels=7 if kind == "levels" else None)
    run = fit(recipes.vae(data.spec, latent=2, hidden=(4,)), data, Training(epochs=1), out=tmp_path / "run")
    page = report.write(run, run.evaluate(samples=2)).read_text(encoding="utf-8")
    assert ("of a density" in page) != data.spec.is_discrete
