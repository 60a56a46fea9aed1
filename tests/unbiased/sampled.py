"""The mean gradient of an estimator over many draws, with standard errors, and its comparison with the exact gradient."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from elbox import VAE
from elbox.estimators import Estimator
from elbox.objectives import Objective
from tests.unbiased.exact import Gradient, gradient

# A mean of 32 independent gradients, each itself a mean of hundreds of draws, follows Student's t with 31 degrees of freedom:
# |t| > 6 happens once in 800 000, and some 15 000 derivatives are compared here, all with fixed seeds.
REPEATS, LIMIT = 32, 6.0


class Sampled(NamedTuple):
    """Mean and standard error of every parameter's gradient, and of the objective."""

    mean: Gradient
    error: Gradient
    value: Tensor
    value_error: Tensor


def sample(
    estimator: Estimator, model: VAE, objective: Objective, x: Tensor, *, copies: int = 500, repeats: int = REPEATS
) -> Sampled:
    """Gradients of the loss for `copies` of the batch at once, `repeats` times over; the loss must be −mean(objective)."""
    torch.manual_seed(0)
    many = x.repeat(copies, 1)
    found, values = [], []
    for _ in range(repeats):
        loss, value, _ = estimator(model, many, objective)
        torch.testing.assert_close(loss, -value.mean())
        found.append(gradient(model, -loss))
        values.append(value.detach().mean())
    stacked = {n: torch.stack([g[n] for g in found]) for n in found[0]}
    root = math.sqrt(repeats)
    return Sampled(
        {n: s.mean(0) for n, s in stacked.items()},
        {n: s.std(0) / root for n, s in stacked.items()},
        torch.stack(values).mean(),
        torch.stack(values).std() / root,
    )


def worst(exact: Gradient, found: Sampled) -> tuple[float, str]:
    """The largest deviation from the exact gradient in standard errors, and where it is."""
    scores = {n: ((found.mean[n] - exact[n]).abs() - 1e-9).clamp(min=0) / (found.error[n] + 1e-12) for n in exact}
    name = max(scores, key=lambda n: scores[n].max().item() if scores[n].numel() else 0.0)
    return scores[name].max().item(), name


def blur(exact: Gradient, found: Sampled, part: str) -> float:
    """Standard error relative to the gradient, in the norm over a part's parameters: what bias could hide."""
    errors = [found.error[n].square().sum() for n in exact if n.startswith(part)]
    sizes = [exact[n].square().sum() for n in exact if n.startswith(part)]
    return (sum(errors) / sum(sizes)).sqrt().item() if sizes else 0.0


def agree(exact: Gradient, found: Sampled, finest: float = 0.1) -> None:
    """Every derivative within the limit, by a measurement fine enough to see a bias of the size that matters."""
    score, name = worst(exact, found)
    assert score < LIMIT, f"{name} is {score:.1f} standard errors away from the exact gradient"
    for part in ("prior", "likelihood", "posterior"):
        assert blur(exact, found, part) < finest, f"{part}: the test is too blunt ({blur(exact, found, part):.2f})"
