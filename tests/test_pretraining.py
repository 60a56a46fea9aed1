"""A recipe that is pretrained: both stages are done, resumed and saved, and the prior starts from the codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import elbox
from elbox import Recipe, Training
from elbox.errors import DataError
from elbox.recipes import exemplar_vae, vade, vamp_vae

DATA = elbox.from_array(
    torch.cat(
        [c + 0.3 * torch.randn(100, 6, generator=torch.Generator().manual_seed(i)) for i, c in enumerate((-2, 2))]
    )
    .numpy()
    .astype("float32")
)


def recipe(**settings: object) -> Recipe:
    return vade(DATA.spec, **{"latent": 2, "components": 2, "hidden": (8,), "pretraining": 0.5} | settings)


def weights(run: elbox.Run) -> torch.Tensor:
    return torch.cat([p.flatten() for p in run.model.parameters()]).detach()


def test_pretraining_trains_the_parts_of_the_model() -> None:
    """Of the same objects: the likelihood and the means of the posterior, but not the prior."""
    made = recipe()
    assert made.pretraining.model.likelihood is made.model.likelihood
    assert made.pretraining.model.posterior.posterior is made.model.posterior
    rebuilt = Recipe.from_json(json.loads(json.dumps(replace(made).to_json())), DATA.spec)
    assert rebuilt.pretraining.model.likelihood is rebuilt.model.likelihood
    assert rebuilt.pretraining.model.posterior.posterior is rebuilt.model.posterior
    assert rebuilt.share == 0.5
    assert recipe(pretraining=0.0).pretraining is None


def test_two_clusters_are_found_and_reported(tmp_path: Path) -> None:
    run = elbox.fit(recipe(), DATA, Training(epochs=20, batch_size=20, seed=0), out=tmp_path / "run")
    found = elbox.assignments(run.model, DATA.examples("train")).argmax(1)
    sides = DATA.examples("train").mean(1) > 0
    same = float((found == sides.long()).float().mean())
    assert max(same, 1 - same) > 0.95
    evaluation = run.evaluate(samples=5)
    assert sum(evaluation.cluster_sizes) == evaluation.n
    assert evaluation.cluster_accuracy is None  # no labels
    assert ("clusters", "examples") in [(name, unit) for name, _, unit in evaluation.rows()]
    again = elbox.load_run(tmp_path / "run")
    assert torch.equal(weights(again), weights(run))
    record = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert elbox.Evaluation.from_json(record).cluster_sizes == evaluation.cluster_sizes


@pytest.mark.parametrize("stage", ["first", "second"])
def test_interrupted_anywhere_it_goes_on_to_the_bit(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from elbox import runs

    training = Training(epochs=6, batch_size=20, seed=0)
    whole = elbox.fit(recipe(), DATA, training)
    calls, train = [], runs.train

    def stopped(*args: object, **kwargs: object) -> object:
        calls.append(1)
        stop = {"first": 1, "second": 2}[stage]
        return train(*args, **kwargs, **({"stop_after": 5} if len(calls) == stop else {}))

    monkeypatch.setattr(runs, "train", stopped)
    with pytest.raises(elbox.Interrupted, match=r"stopped after step 5; go on with: elbox resume"):
        elbox.fit(recipe(), DATA, training, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    resumed = elbox.resume(tmp_path / "run", data=DATA)
    assert torch.equal(weights(resumed), weights(whole))
    assert len(calls) == {"first": 3, "second": 3}[stage]


def test_start_from_too_little_data_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    made = vamp_vae(DATA.spec, latent=2, components=1000, hidden=(8,), from_data=True)
    with pytest.raises(DataError, match="got 160 examples for 1000 pseudo-inputs"):
        elbox.fit(made, DATA, Training(epochs=1), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(DataError, match="got 160 codes for a mixture of 1000"):
        elbox.fit(recipe(components=1000), DATA, Training(epochs=1), out=tmp_path / "run")


def test_pseudo_inputs_start_at_training_examples() -> None:
    made = vamp_vae(DATA.spec, latent=2, components=5, hidden=(8,), from_data=True)
    run = elbox.fit(made, DATA, Training(epochs=1, lr=1e-6))
    apart = run.model.prior.pseudo_inputs().detach()[:, None] - DATA.examples("train")
    assert float(apart.abs().amax(-1).min(1).values.max()) < 1e-3


def test_exemplars_come_back_in_a_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit; and the saved model has the density of the one in memory, without the exemplars."""
    from elbox import runs

    made = exemplar_vae(DATA.spec, latent=2, components=10, hidden=(8,))
    training = Training(epochs=4, batch_size=20, seed=0)
    whole, train = elbox.fit(made, DATA, training), runs.train
    monkeypatch.setattr(runs, "train", lambda *args, **kwargs: train(*args, **kwargs, stop_after=9))
    with pytest.raises(elbox.Interrupted):
        elbox.fit(made, DATA, training, out=tmp_path / "run")
    monkeypatch.undo()
    resumed = elbox.resume(tmp_path / "run", data=DATA)
    assert torch.equal(weights(resumed), weights(whole))
    loaded, z = elbox.load_run(tmp_path / "run"), torch.randn(5, 2)
    torch.testing.assert_close(loaded.model.prior().log_prob(z), whole.model.prior().log_prob(z))
    assert len(loaded.model.prior.exemplars) == 0
