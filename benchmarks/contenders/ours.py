"""elbox, through its public interface: one long run, held between two epochs while others have their turn."""

from __future__ import annotations

__all__ = ["model", "score", "train"]

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import elbox
from benchmarks import weights
from benchmarks.worker import Gate
from benchmarks.workloads import Problem
from elbox.evaluate import bounds
from elbox.evaluate.fast import Fast, fast
from elbox.train import Observer
from elbox.train import train as train_step
from elbox.train.step import Step

LONG = 1_000_000  # steps: what elbox chooses by itself, it chooses for a long run


class _AtEpochs(Observer):
    def __init__(self, gate: Gate, recipe: elbox.Recipe) -> None:
        self.gate, self.recipe, self.note = gate, recipe, ""

    def on_start(self, info: dict[str, Any]) -> None:
        self.note = "; ".join(info["reasons"])
        self.gate.mark()

    def on_epoch(self, row: dict[str, Any]) -> None:
        self.gate(lambda: weights.export(self.recipe.model), self.note)


def model(problem: Problem) -> elbox.Recipe:
    """The recipe with the problem's weights."""
    recipe = problem.workload.build(problem.spec)
    weights.load(recipe.model, problem.weights)
    return recipe


def train(problem: Problem, gate: Gate, *, usual: bool = False, **settings: Any) -> None:
    """Train with elbox; `settings` are those of `elbox.Training`.

    With `usual` the gradient is the reparameterised one that the peers have, instead of the recipe's own (DReG of an
    IWAE), with which weights after a pass are others.
    """
    recipe, work = model(problem), problem.workload
    if usual:
        recipe = replace(recipe, estimator=elbox.Reparameterized())
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    training = elbox.Training(
        epochs=max(1, LONG // work.steps),
        batch_size=work.batch,
        seed=problem.seed,
        **{"device": "cpu", "lr": 1e-3, "schedule": "constant"} | settings,
    )
    train_step(step, torch.from_numpy(problem.x), training, observer=_AtEpochs(gate, recipe))


def score(problem: Problem, gate: Gate, samples: int = 5000) -> None:
    """log p(x) of the problem's images, again and again; the note says in which precision."""
    recipe, x = model(problem), torch.from_numpy(problem.x)
    elbox.log_likelihood(recipe.model, x[:1], samples=1)  # what is loaded at first use does not count as memory
    notes: list[str] = []

    def noted(*arguments: Any) -> Fast:
        how = fast(*arguments)
        notes[:] = [f"precision {how.precision}{'' if how.full else ', not compiled'}"]
        return how

    gate.mark()
    with patch.object(bounds, "fast", noted):
        while True:
            found = elbox.log_likelihood(recipe.model, x, samples=samples)
            gate(lambda found=found: {"log_likelihood": np.asarray(found)}, notes[0])  # type: ignore[misc]
