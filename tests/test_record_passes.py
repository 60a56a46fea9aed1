"""Posteriors that differentiate inside their forward pass are recorded as one graph, second derivatives and all."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elbox.record import trace
from elbox.train.step import Step
from tests.components import IMAGE, make

SLOW = pytest.param("recipes.riemannian_hamiltonian_vae", marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name",
    [
        "recipes.bn_vae",
        "recipes.delta_vae",
        "recipes.auxiliary_vae",
        "recipes.semi_amortised_vae",
        "recipes.hamiltonian_vae",
        SLOW,
    ],
)
def test_recorded_step_has_the_eager_gradient(name: str) -> None:
    """Recorded on one batch, replayed on another."""
    torch.manual_seed(0)
    recipe = make(name)
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    parameters = list(step.parameters())
    first, second = ((torch.rand(8, *IMAGE) < 0.3).float() for _ in range(2))

    def gradients(x: Tensor) -> list[Tensor]:
        loss, _ = step(x)
        return [loss, *torch.autograd.grad(loss, parameters)]

    state = [t.detach() for t in (*parameters, *step.buffers())]
    recorded = trace(gradients, state, [first])
    found = []
    for function in (gradients, lambda x: recorded(*state, x)):
        torch.manual_seed(3)
        found.append([t.detach() for t in function(second)])
    torch.testing.assert_close(*found)
