"""Variance on the toy problem of the REBAR paper: RELAX ≤ REBAR ≤ REINFORCE and NVIL ≤ REINFORCE, all unbiased."""

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


def constant() -> MLP:
    """A baseline C(x), a constant here."""
    return MLP(1, [], 1)


MAKE = {
    "REINFORCE": lambda: Score(Zero()),
    "NVIL": lambda: NVIL(constant(), 0.9).double(),
    "REBAR": lambda: REBAR().double(),
    "REBAR with baseline": lambda: REBAR(constant()).double(),
    "RELAX": lambda: RELAX(MLP(1, [10], 1, nn.ReLU, context=1)).double(),
}
CASES = [(t, theta) for t in (0.45, 0.499) for theta in (0.2, 0.4)]


@functools.cache
def gradients(name: str, t: float, theta: float) -> Tensor:
    torch.manual_seed(0)
    how: Estimator = MAKE[name]()
    if name != "REINFORCE":
        toy.fitted(how, theta, t)
    return toy.draws(how, theta, t)


@pytest.mark.parametrize(("t", "theta"), CASES)
@pytest.mark.parametrize("name", MAKE)
def test_unbiased(name: str, t: float, theta: float) -> None:
    g = gradients(name, t, theta)
    assert abs(g.mean().item() - toy.exact(theta, t)) < 5 * g.std().item() / math.sqrt(len(g)) + 1e-9


@pytest.mark.parametrize(("t", "theta"), CASES)
def test_order_of_the_variances(t: float, theta: float) -> None:
    spread = {name: gradients(name, t, theta).var().item() for name in MAKE}
    print(t, theta, spread)
    assert spread["RELAX"] <= spread["REBAR"] <= spread["REINFORCE"]
    assert spread["REBAR with baseline"] <= spread["NVIL"] <= spread["REINFORCE"]


def test_enumeration_has_none() -> None:
    vae = toy.model(0.3)
    loss = Enumerated()(vae, toy.target(0.45), toy.GOAL).loss
    (found,) = torch.autograd.grad(-loss, vae.posterior.net.logit)
    assert found.item() == pytest.approx(toy.exact(0.3, 0.45))
