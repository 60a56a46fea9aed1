"""What training logs as the ELBO is what `evaluate` calls it: one function computes both, in the same units."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from elbox import evaluate
from elbox.recipes import RECIPES
from elbox.train.step import Step
from tests.components import BINARY, IMAGE, LATENT, SPECS, small

PASSES, ROWS = 40, 16
DENSE = [name for name in sorted(RECIPES) if not small(name).model.deterministic]
DIFFERENT = {
    "bayesian_vae": "weights are drawn in training, and are their means in evaluation",
    "residual_vq_vae": "training moves the tables",
    "vq_vae": "training moves the table",
    "bn_vae": "in training, the moments are those of the batch",
    "gumbel_vae": "training decodes relaxed codes",
    "sigma_vae": "in training, σ² is that of the batch",
}


def gap(name: str) -> tuple[float, float]:
    """ELBO of training less that of evaluation, at the same weights and examples; and its standard error.

    Each is a mean over independent passes of the same rows, one sample of each, so that only the samples' noise counts.
    """
    recipe = small(name, latent=LATENT)
    with torch.no_grad():
        for p in recipe.model.parameters():
            p.mul_(0.5)  # less noise, nothing at zero
    x = torch.rand(ROWS, *IMAGE)
    x = 0.5 + 0.5 * x if SPECS.get(name, BINARY).kind == "real" else x.round()
    step = Step(recipe.model, recipe.objective, recipe.estimator).train()
    step.progress.fill_(0.5)
    trained = np.array([step(x)[1]["elbo"].item() for _ in range(PASSES)])
    rows = evaluate(recipe.model, x.repeat(PASSES, 1, 1, 1), samples=1, seed=1).per_example["elbo"]
    evaluated = np.asarray(rows).reshape(PASSES, ROWS).mean(1)
    return trained.mean() - evaluated.mean(), math.sqrt((trained.var(ddof=1) + evaluated.var(ddof=1)) / PASSES)


@pytest.mark.parametrize("name", [name for name in DENSE if name not in DIFFERENT])
def test_training_and_evaluation_agree(name: str) -> None:
    """Within 4 standard errors, with fixed seeds; the error itself is some 0.01 nats, of flows up to 0.15."""
    difference, error = gap(name)
    assert error < 0.15, "too much noise to notice anything"
    assert abs(difference) < 4 * error + 1e-3


def test_what_differs_is_noticed() -> None:
    assert set(DIFFERENT) <= set(DENSE)
    difference, error = gap("bayesian_vae")
    assert abs(difference) > 20 * error
