"""Variance on the toy problem of the REBAR paper, with one bit and with three: RELAX ≤ REBAR ≤ NVIL ≤ REINFORCE.

Both REBAR and NVIL have a learned baseline, as in that paper's code; RELAX's surrogate sees the input and needs none.
For one bit some constant baseline leaves no variance at all: REBAR and RELAX find it, NVIL, which learns the mean, does
not. Without a baseline REBAR gains little here: between the codes, the parabola is far from its values at the codes.
"""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import Tensor, nn

from elbox.baselines import Zero
from elbox.estimators import NVIL, REBAR, RELAX, Enumerated, Estimator, Score
from elbox.nn import MLP
from tests.unbiased import toy

MAKE = {
    "REINFORCE": lambda bits: Score(Zero()),
    "NVIL": lambda bits: NVIL(MLP(bits, [], 1), 0.9).double(),
    "REBAR": lambda bits: REBAR(MLP(bits, [], 1)).double(),
    "REBAR without baseline": lambda bits: REBAR().double(),
    "RELAX": lambda bits: RELAX(MLP(bits, [10], 1, nn.ReLU, context=bits)).double(),
}
pytestmark = pytest.mark.slow  # each estimator is first trained on its own loss
CASES = [(1, 0.45, 0.2), (1, 0.499, 0.2), (3, 0.45, 0.4)]


@functools.cache
def gradients(name: str, bits: int, t: float, theta: float) -> Tensor:
    torch.manual_seed(0)
    how: Estimator = MAKE[name](bits)
    if name != "REINFORCE":
        toy.fitted(how, theta, t, bits)
    return toy.draws(how, theta, t, 20_000, bits)


@pytest.mark.parametrize(("bits", "t", "theta"), CASES)
@pytest.mark.parametrize("name", MAKE)
def test_unbiased(name: str, bits: int, t: float, theta: float) -> None:
    g = gradients(name, bits, t, theta)
    error = g.std(0) / math.sqrt(len(g))
    assert ((g.mean(0) - toy.exact(theta, t)).abs() < 5 * error + 1e-9).all()


def spread(bits: int, t: float, theta: float) -> dict[str, float]:
    return {name: gradients(name, bits, t, theta).var(0).mean().item() for name in MAKE}


@pytest.mark.parametrize(("bits", "t", "theta"), CASES[:-1])
def test_one_bit(bits: int, t: float, theta: float) -> None:
    found = spread(bits, t, theta)
    assert found["RELAX"] < 0.3 * found["NVIL"]
    assert found["REBAR"] < 0.3 * found["NVIL"]
    assert found["NVIL"] < 0.1 * found["REINFORCE"]
    assert found["RELAX"] < found["REBAR without baseline"] < 1.01 * found["REINFORCE"]


def test_three_bits() -> None:
    found = spread(*CASES[-1])
    assert found["RELAX"] < found["REBAR"] < found["NVIL"] < found["REINFORCE"]
    assert found["RELAX"] < 0.8 * found["REBAR"]
    assert found["REBAR without baseline"] < found["REINFORCE"]


def test_enumeration_has_none() -> None:
    vae = toy.model(0.3)
    loss = Enumerated()(vae, toy.target(0.45), toy.GOAL).loss
    (found,) = torch.autograd.grad(-loss, vae.posterior.net.logits)
    assert found.item() == pytest.approx(toy.exact(0.3, 0.45))
