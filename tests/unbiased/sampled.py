"""The mean gradient of an estimator over many draws, with standard errors, and its comparison with the exact one."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from elbox import VAE
from elbox.estimators import Estimator
from elbox.objectives import Objective
from tests.unbiased.exact import Gradient, gradient

# A mean of 24 independent gradients, each itself a mean of hundreds of draws, follows Student's t with 23 degrees of
# freedom: |t| > 6 happens once in 240 000 times, and some 15 000 derivatives are compared here, all with fixed seeds.
REPEATS, LIMIT = 24, 6.0


class Sampled(NamedTuple):
    """Mean and standard error of every parameter's gradient, and of the objective."""

    mean: Gradient
    error: Gradient
    value: Tensor
    value_error: Tensor


def sample(
    estimator: Estimator, model: VAE, objective: Objective, x: Tensor, *, copies: int = 500, repeats: int = REPEATS
) -> Sampled:
    """Gradients of the loss for `copies` of the batch at once, `repeats` times; the loss must be −mean(objective)."""
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
    """The largest deviation of one derivative from the exact one, in standard errors, and where it is."""
    scores = {n: ((found.mean[n] - exact[n]).abs() - 1e-6).clamp(min=0) / (found.error[n] + 1e-12) for n in exact}
    name = max((n for n in scores if scores[n].numel()), key=lambda n: scores[n].max().item())
    return scores[name].max().item(), name


def deviation(exact: Gradient, found: Sampled, part: str) -> tuple[float, float]:
    """Distance from the exact gradient, and its standard error, over a part's parameters, relative to the gradient."""
    names = [n for n in exact if n.startswith(part)]
    size = sum(exact[n].square().sum() for n in names) ** 0.5
    distance = sum((found.mean[n] - exact[n]).square().sum() for n in names) ** 0.5
    error = sum(found.error[n].square().sum() for n in names) ** 0.5
    return float(distance / size), float(error / size)


def agree(
    exact: Gradient, estimator: Estimator, model: VAE, objective: Objective, x: Tensor, finest: float = 0.05
) -> None:
    """No derivative is off, nor is a part's gradient as a whole, measured finely enough to see a bias of 20 %."""
    parts = {n.split(".")[0] for n in exact if exact[n].any()}  # of the others every derivative must be 0
    for copies in (300, 1200, 4800, 19200):
        found = sample(estimator, model, objective, x, copies=copies)
        if all(deviation(exact, found, part)[1] < finest for part in parts):
            break
    score, name = worst(exact, found)
    assert score < LIMIT, f"{name} is {score:.1f} standard errors away from the exact gradient"
    for part in parts:
        distance, error = deviation(exact, found, part)
        assert error < finest, f"{part}: the test is too blunt, it sees only {4 * error:.0%}"
        assert distance < 4 * error + 1e-6, f"{part}: biased by {distance:.0%}, seen with an error of {error:.1%}"
