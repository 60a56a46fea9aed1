"""Signal and noise of the gradients of importance-weighted bounds, as their number of samples grows."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from elbox import IWAE, VAE, Path, Reparameterized
from elbox.estimators import Estimator
from elbox.objectives import CIWAE, MIWAE, PIWAE, TVO, Objective
from tests.closed_form.linear import data, linear_gaussian
from tests.unbiased.exact import gradient

BLOCKS, DRAWS = 8, 40  # the standard error is that over blocks of independent draws
KS = (16, 64, 256)


@functools.cache
def problem() -> tuple[VAE, Tensor]:
    """Fixed parameters near the optimum, as in Rainforth et al. (2018), §4, and one data point."""
    torch.manual_seed(0)
    return linear_gaussian("diagonal", "learned", exact=False, off=0.05), data(1)


def flat(vae: VAE, loss: Tensor, part: str) -> Tensor:
    return torch.cat([g.flatten() for n, g in gradient(vae, loss).items() if n.startswith(part)])


def signal(objective: Objective, part: str, copies: int = 4000) -> float:
    """The norm of the expected gradient, from many draws of its least noisy estimator."""
    vae, x = problem()
    torch.manual_seed(1)
    batches = max(1, copies * objective.samples // 400_000)
    found = [flat(vae, Path()(vae, x.repeat(copies // batches, 1), objective).loss, part) for _ in range(batches)]
    return torch.stack(found).mean(0).norm().item()


def noise(objective: Objective, how: Estimator, part: str) -> Tensor:
    """The total standard deviation of the gradient of one draw, in each of several blocks of draws, [BLOCKS]."""
    vae, x = problem()
    torch.manual_seed(2)
    found = torch.stack([flat(vae, how(vae, x, objective).loss, part) for _ in range(BLOCKS * DRAWS)])
    return found.unflatten(0, (BLOCKS, DRAWS)).var(1).sum(-1).sqrt()


def slope(make: Callable[[int], Objective], how: Estimator, part: str) -> tuple[float, float]:
    """The exponent of the signal-to-noise ratio as a power of K, by least squares in logarithms, and its error."""
    ratio = torch.stack([signal(make(k), part) / noise(make(k), how, part) for k in KS]).log()  # [len(KS), BLOCKS]
    x = torch.tensor(KS).double().log()
    weights = (x - x.mean()) / (x - x.mean()).square().sum()
    slopes = weights @ ratio
    return slopes.mean().item(), (slopes.std() / math.sqrt(BLOCKS)).item()


ASYMPTOTIC = 0.1  # the theorem is about large K


def test_signal_to_noise_of_the_inference_gradient_falls_as_the_root_of_k() -> None:
    """Rainforth et al. (2018), theorem 1: O(√(M/K)) for the plain gradient of the inference model."""
    exponent, error = slope(IWAE, Reparameterized(), "posterior")
    assert abs(exponent + 0.5) < 3 * error + ASYMPTOTIC, (exponent, error)


def test_it_does_not_fall_when_reparameterised_twice() -> None:
    """Tucker et al. (2019), §4: it rises as √K."""
    exponent, error = slope(IWAE, Path(), "posterior")
    assert exponent > 3 * error, (exponent, error)
    assert abs(exponent - 0.5) < 3 * error + ASYMPTOTIC, (exponent, error)


def test_signal_to_noise_of_the_generative_gradient_rises() -> None:
    """Rainforth et al. (2018), theorem 1: O(√(MK))."""
    exponent, error = slope(IWAE, Reparameterized(), "likelihood")
    assert abs(exponent - 0.5) < 3 * error + ASYMPTOTIC, (exponent, error)


def test_more_bounds_lift_it() -> None:
    """MIWAE(M, K): the ratio grows as √M, and with M · K fixed as M; PIWAE gives the inference model the same."""
    total = 64
    by = {m: signal(MIWAE(m, total // m), "posterior") / noise(MIWAE(m, total // m), Reparameterized(), "posterior")
          for m in (1, 4, 16)}  # fmt: skip
    for few, many in ((1, 4), (4, 16)):
        ratio = (by[many] / by[few]).log() / math.log(4)  # the exponent of M
        error = ratio.std() / math.sqrt(BLOCKS)
        assert ratio.mean() > 0.5 + 3 * error, (ratio.mean(), error)
    torch.manual_seed(3)
    partial = noise(PIWAE(4, 16), Reparameterized(), "posterior").mean()
    assert partial.item() == pytest.approx(noise(MIWAE(4, 16), Reparameterized(), "posterior").mean().item(), rel=0.2)


@pytest.mark.parametrize("samples", [4, 32])
@pytest.mark.parametrize(
    "make",
    [IWAE, lambda k: MIWAE(2, k // 2), lambda k: CIWAE(0.2, k), lambda k: TVO(3, k, -1.0), lambda k: PIWAE(2, k // 2)],
    ids=["IWAE", "MIWAE", "CIWAE", "TVO", "PIWAE"],
)
def test_reparameterised_twice_varies_less(make: Callable[[int], Objective], samples: int) -> None:
    """DReG and its like: less noise than the plain gradient for every bound, by far more than 3 standard errors."""
    plain = noise(make(samples), Reparameterized(), "posterior")
    path = noise(make(samples), Path(), "posterior")
    difference = plain - path
    assert difference.mean() > 3 * difference.std() / math.sqrt(BLOCKS)
    assert path.mean() < 0.8 * plain.mean()
