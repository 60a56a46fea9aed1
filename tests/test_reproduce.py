"""What the reproductions measure with, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from reproduce.autoencoders import frechet

Normal = tuple[np.ndarray, np.ndarray]


def normal(seed: int, rank: int = 5) -> Normal:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(5, rank))
    return rng.normal(size=5), root @ root.T


def test_frechet_distance_is_that_of_the_formula() -> None:
    a, b = normal(0), normal(1)
    right = np.square(a[0] - b[0]).sum() + np.trace(a[1] + b[1] - 2 * np.real(sqrtm(a[1] @ b[1])))
    assert frechet(a, b) == pytest.approx(right)
    assert frechet(a, b) == pytest.approx(frechet(b, a))
    assert frechet(a, a) == pytest.approx(0, abs=1e-8)


def test_frechet_distance_of_special_cases() -> None:
    """Equal covariances: the distance of the means. C and 4 C: tr C. Features that never vary do no harm."""
    a = normal(0)
    assert frechet(a, (a[0] + 2, a[1])) == pytest.approx(20)
    assert frechet(a, (a[0], 4 * a[1])) == pytest.approx(np.trace(a[1]))
    dead = normal(0, rank=2)
    assert frechet(dead, (dead[0], 4 * dead[1])) == pytest.approx(np.trace(dead[1]))
