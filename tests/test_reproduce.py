"""What the reproductions measure with, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from reproduce.autoencoders import frechet
from reproduce.toy_posteriors import SIGMA, evidence, examples

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


def test_evidence_of_the_ring_is_that_of_its_radius() -> None:
    """p(x) = ∫ r e^{−r²/2} N(x; r, σ²) dr: the radius of a normal z in the plane has the density of Rayleigh."""
    x = examples("ring", 0)
    r = torch.linspace(0, 8, 80_001, dtype=torch.float64)
    joint = r * (-r.square() / 2).exp() * torch.distributions.Normal(r, SIGMA).log_prob(x.double()).exp()
    torch.testing.assert_close(evidence("ring", x), torch.trapezoid(joint, r).log(), rtol=0, atol=1e-4)


def test_evidence_of_two_modes_is_that_of_their_factors() -> None:
    """|z₁| is half-normal, z₂ normal, and each factor a sum or a formula."""
    x = examples("two modes", 0).double()
    a = torch.linspace(0, 8, 80_001, dtype=torch.float64)
    half = 2 * torch.distributions.Normal(0.0, 1.0).log_prob(a).exp()
    first = torch.trapezoid(half * torch.distributions.Normal(a, SIGMA).log_prob(x[:, :1]).exp(), a).log()
    second = torch.distributions.Normal(0.0, (0.25 + SIGMA**2) ** 0.5).log_prob(x[:, 1])
    torch.testing.assert_close(evidence("two modes", x.float()), first + second, rtol=0, atol=1e-4)
