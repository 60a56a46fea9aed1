"""What is said of bounds that cannot be, and of estimators that do not fit them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from elbox import ELBO, IWAE, AnalyticKL, Path, Renyi, Reparameterized, Score, Terms
from elbox.errors import ElboxError, IncompatibleError, SettingError, ShapeError
from elbox.estimators import Covariance
from elbox.objectives import CIWAE, CUBO, MIWAE, PIWAE, TVO, Split
from elbox.schedules import Exponential, Sigmoid
from tests.messages.test_core import X, vae

CASES: dict[str, tuple[Callable[[], Any], type[ElboxError], str]] = {
    "no bounds": (lambda: MIWAE(0, 8), SettingError, r"got outer=0; expected a whole number ≥ 1"),
    "empty bounds": (lambda: MIWAE(2, 0), SettingError, r"got inner=0; expected a whole number ≥ 1"),
    "other numbers of samples": (
        lambda: MIWAE(2, 3)(Terms(torch.zeros(5, 2), {})),
        ShapeError,
        r"got 5 samples for MIWAE\(2, 3\); expected outer · inner = 6",
    ),
    "CIWAE outside": (lambda: CIWAE(1.5), SettingError, r"got beta=1.5; expected a number in \[0, 1\]: 1 is the ELBO"),
    "CIWAE without samples": (lambda: CIWAE(0.5, 0), SettingError, r"got samples=0; expected a whole number ≥ 1"),
    "CUBO of order 1": (lambda: CUBO(1.0), SettingError, r"got order=1.0; expected a finite number > 1"),
    "TVO without intervals": (lambda: TVO(0), SettingError, r"got partitions=0; expected a whole number ≥ 1"),
    "TVO beyond 1": (
        lambda: TVO(log_first=0.0),
        SettingError,
        r"got log_first=0.0; expected a number < 0, log₁₀ of β",
    ),
    "exponential decay to zero": (
        lambda: Exponential(1.0, 0.0),
        SettingError,
        r"got .*end=0.0; expected two numbers > 0",
    ),
    "straight sigmoid": (lambda: Sigmoid(steepness=0.0), SettingError, r"got steepness=0.0; expected a number > 0"),
    "split of two sizes": (
        lambda: Split(IWAE(4), ELBO(samples=3)),
        SettingError,
        r"got 4 samples for the generative and 3 for the inference model; expected one number",
    ),
    "split of a split": (lambda: Split(PIWAE(2, 2), IWAE(4)), SettingError, r"got Split in Split; expected two obj"),
    "a generative model on an upper bound": (
        lambda: Split(CUBO(2.0, 4), IWAE(4)),
        IncompatibleError,
        r"CUBO bounds log p\(x\) from above, .* loses likelihood; use Split\(IWAE\(4\), CUBO\(...\)\)",
    ),
    "all on an upper bound": (
        lambda: Reparameterized()(vae(), X, TVO(2, 4, upper=True)),
        IncompatibleError,
        r"TVO bounds log p\(x\) from above, .* loses likelihood; use Split\(IWAE\(4\), TVO\(...\)\)",
    ),
    "covariance of another objective": (
        lambda: Covariance()(vae(), X, IWAE(4)),
        IncompatibleError,
        r"Covariance is the estimator of the thermodynamic objective, got Renyi; use Covariance\(\) with TVO\(\)",
    ),
    "covariance of half a split": (
        lambda: Covariance()(vae(), X, Split(TVO(2, 4), IWAE(4))),
        IncompatibleError,
        r"Covariance is the estimator of the thermodynamic objective, got Renyi; use",
    ),
    "covariance of one sample": (
        lambda: Covariance()(vae(), X, TVO(2, 1)),
        IncompatibleError,
        r"Covariance compares samples with each other, got TVO with samples=1; use samples=2 or more",
    ),
    "score of one sample": (
        lambda: Score()(vae(), X, MIWAE(1, 1)),
        IncompatibleError,
        r"Score takes the other samples as its baseline, got MIWAE with samples=1; use samples=2 or more",
    ),
    "analytic KL of one player only": (
        lambda: AnalyticKL()(vae(), X, Split(ELBO(samples=2), IWAE(2))),
        IncompatibleError,
        r"AnalyticKL needs an objective of the rate, and Split is none; use Reparameterized\(\), or AnalyticKL\(\)",
    ),
    "path of one player only": (
        lambda: Path()(vae(), X, Split(ELBO(free_bits=0.1, samples=2), Renyi(0.5, 2))),
        IncompatibleError,
        r"Path needs an objective that is smooth .* and this Split is not; use Reparameterized\(\)",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    call, error, expected = CASES[name]
    with pytest.raises(error, match=expected) as caught:
        call()
    assert "\n" not in str(caught.value)
