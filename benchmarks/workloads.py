"""The workloads: which model, at which batch size, for how many steps."""

from __future__ import annotations

__all__ = ["TRAINING", "Problem", "Workload", "binary_images", "problem"]

import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

import elbox
from benchmarks import weights
from elbox.errors import DataError

HELD_OUT = 1000


@dataclass(frozen=True)
class Workload:
    """One line of the table of speeds.

    Arguments:
        name: Its letter.
        title: What it is, for people.
        recipe: Name of the elbox recipe.
        settings: Settings of the recipe.
        batch: Examples in a step.
        samples: Posterior samples K for each example.
        steps: Steps of one pass over the data, which are cut to `steps * batch` rows.
    """

    name: str
    title: str
    recipe: str
    settings: dict[str, Any] = field(default_factory=dict)
    batch: int = 128
    samples: int = 1
    steps: int = 390

    def build(self, spec: elbox.DataSpec, seed: int = 0) -> elbox.Recipe:
        """The recipe, with the initial weights that belong to the seed."""
        return getattr(elbox.recipes, self.recipe)(spec, seed=seed, **self.settings)


BURDA = {"latent": 50, "hidden": (200, 200)}
PLAIN = {"warmup": 0.0}  # the contenders weigh the rate fully from the first step
TRAINING = {
    w.name: w
    for w in (
        Workload("A", "MLP 784-400-20, ReLU, batch 128, K = 1", "vae", PLAIN | {"activation": nn.ReLU}),
        Workload(
            "B",
            "Burda 200-200-50, tanh, batch 20, K = 1",
            "vae",
            BURDA | PLAIN | {"activation": nn.Tanh},
            batch=20,
            steps=2500,
        ),
        Workload(
            "C",
            "Burda 200-200-50, IWAE, batch 100, K = 50",
            "iwae",
            BURDA | {"samples": 50},
            100,
            samples=50,
            steps=100,
        ),
        Workload("D", "convolutional VAE, 28×28, batch 128, K = 1", "conv_vae", PLAIN, steps=40),
    )
}


@dataclass(frozen=True)
class Problem:
    """What every contender is given: the same data and the same initial weights.

    Arguments:
        workload: The workload.
        spec: Shape and kind of the data.
        x: Binary images [N, 1, 28, 28], uint8; one pass is N / batch steps.
        weights: Initial weights by neutral names (`benchmarks.weights`).
        seed: Seed of the order and the noise.
    """

    workload: Workload
    spec: elbox.DataSpec
    x: np.ndarray
    weights: dict[str, np.ndarray]
    seed: int = 0


def binary_images() -> tuple[elbox.Data, str]:
    """MNIST, every pixel drawn once, or random bits of the same shape; and which of the two it is."""
    try:
        return elbox.load("mnist", binarise="static"), "MNIST, static binarisation"
    except DataError:
        bits = np.random.default_rng(0).random((60_000, 1, 28, 28), dtype=np.float32) < 0.13
        return elbox.from_array(bits.astype(np.uint8), kind="binary"), "random bits, because there is no MNIST here"


def problem(workload: Workload, data: elbox.Data, steps: int | None = None, seed: int = 0) -> Problem:
    """The problem of a workload; `steps` shortens its pass over the data."""
    workload = replace(workload, steps=min(steps or workload.steps, len(data.train) // workload.batch))
    x = data.train.x[: workload.steps * workload.batch].numpy()
    return Problem(workload, data.spec, x, weights.export(workload.build(data.spec).model), seed)


def bound(prob: Problem, data: elbox.Data, trained: dict[str, np.ndarray]) -> dict[str, float]:
    """ELBO of trained weights on held-out images, and log p(x) with as many samples as training uses (≥ 50), nats."""
    model = copy.deepcopy(prob.workload.build(prob.spec).model)
    weights.load(model, trained)
    with torch.no_grad():
        found = elbox.evaluate(model, data.examples("valid", HELD_OUT), samples=max(50, prob.workload.samples))
    assert found.elbo is not None and found.log_likelihood is not None  # noqa: PT018
    return {"elbo": found.elbo.mean, "log_likelihood": found.log_likelihood.mean}
