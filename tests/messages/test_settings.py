"""Numbers that cannot be meant are refused where they are given: what was got, and what was expected."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from elbox import ELBO, IWAE, DataSpec, SettingError, recipes
from elbox.errors import check_whole
from elbox.estimators import MAP, RELAX, Enumerated, MonteCarloEM, Relaxed, Reparameterized, WakeSleep
from elbox.likelihoods import DiscretizedLogistic, DiscretizedLogisticMixture
from elbox.nn import MLP
from elbox.objectives import VAEGAN, Distortion, InferredPrior, MutualInformation, Penalty, TotalCorrelation
from elbox.priors import (
    BernoulliPrior,
    CategoricalPrior,
    Factorized,
    FittedMixture,
    LearnedNormal,
    NormalMixture,
    StandardNormal,
)
from tests.components import BINARY, make, of

PENALTIES = [name for name in of("objectives") if isinstance(make(name), Penalty)]
NET = MLP(2, [], (2, 5))


@pytest.mark.parametrize("bad", [-5.0, math.nan, math.inf])
@pytest.mark.parametrize("name", PENALTIES)
def test_weight_of_a_penalty(name: str, bad: float) -> None:
    penalty = make(name)
    said = re.escape(f"got weight={bad}; expected a number ≥ 0, or a schedule")
    with pytest.raises(SettingError, match=said):
        type(penalty)(**penalty.arguments | {"weight": bad})
    with pytest.raises(SettingError, match=said):
        penalty.weight = bad
    penalty.weight = 0.0


def unchecked(cls: type) -> Callable[..., Any]:
    """The constructor as a user has it, who checks no types."""

    def call(*args: Any, **kwargs: Any) -> Any:
        made = object.__new__(cls)
        inspect.unwrap(cls.__init__)(made, *args, **kwargs)  # type: ignore[misc]
        return made

    return call


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "a penalty's weight in words": (lambda: unchecked(TotalCorrelation)("5", 50), "got weight='5'; expected a number"),
    "FactorVAE": (lambda: recipes.factor_vae(BINARY, gamma=-5.0), "got gamma=-5.0; expected a number ≥ 0, or a"),
    "relative weight": (lambda: InferredPrior(ratio=-1.0), "got ratio=-1.0; expected a number ≥ 0"),
    "infinite beta": (lambda: ELBO(beta=math.inf), "got beta=inf; expected a number ≥ 0, or a schedule"),
    "no beta": (lambda: unchecked(ELBO)(beta=None), "got beta=None; expected a number ≥ 0, or a schedule"),
    "free bits on a schedule": (lambda: unchecked(ELBO)(free_bits="0.1"), "got free_bits='0.1'; expected a number ≥ 0"),
    "free bits of no dimension": (
        lambda: ELBO(per_dimension=True),
        "got per_dimension=True without free_bits, .*; expected free_bits > 0",
    ),
    "features of no weight": (lambda: VAEGAN(NET, NET, gamma=math.nan), "got gamma=nan; expected a number ≥ 0"),
    "true samples": (lambda: IWAE(samples=True), "got samples=True; expected a whole number ≥ 1"),
    "half a sample": (lambda: unchecked(Distortion)(2.5), "got samples=2.5; expected a whole number ≥ 1"),
    "no codes": (lambda: Enumerated(limit=-1), "got limit=-1; expected a whole number ≥ 1"),
    "half a step": (lambda: unchecked(MonteCarloEM)(leapfrogs=2.5), "got leapfrogs=2.5; expected a whole number ≥ 1"),
    "nights without weight": (lambda: WakeSleep(sleep=math.nan), "got sleep=nan; expected a number ≥ 0"),
    "temperature": (lambda: Relaxed(math.nan), "got temperature=nan; expected a number > 0, or a schedule"),
    "temperature to be learned": (lambda: RELAX(temperature=math.inf), "got temperature=inf; expected a number > 0"),
    "fewer than no examples": (lambda: MAP(Reparameterized(), -1), "got examples=-1; expected a whole number ≥ 0"),
    "no latent variables": (lambda: StandardNormal(0), "got latent=0; expected a whole number ≥ 1"),
    "nothing to learn": (lambda: LearnedNormal(0), "got latent=0; expected a whole number ≥ 1"),
    "no bits": (lambda: BernoulliPrior(0), "got latent=0; expected a whole number ≥ 1"),
    "no product": (lambda: Factorized(-1), "got latent=-1; expected a whole number ≥ 1"),
    "no components": (lambda: NormalMixture(2, 0), "got components=0; expected a whole number ≥ 1"),
    "no components to fit": (lambda: FittedMixture(2, 0), "got components=0; expected a whole number ≥ 1"),
    "one category": (lambda: CategoricalPrior(2, 1), "got categories=1; expected a whole number ≥ 2"),
    "half a level": (
        lambda: unchecked(DiscretizedLogistic)(NET, levels=2.5),
        "got levels=2.5; expected a whole number",
    ),
    "half a level in a mixture": (
        lambda: unchecked(DiscretizedLogisticMixture)(NET, levels=2.5),
        "got levels=2.5; expected a whole number ≥ 2",
    ),
    "a number of numpy, which no file could keep": (
        lambda: check_whole("latent", np.int64(3)),
        r"got latent=.*3.*; expected a whole number ≥ 1",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    call, expected = CASES[name]
    with pytest.raises(SettingError, match=expected):
        call()


@pytest.mark.parametrize("penalty", [TotalCorrelation, MutualInformation])
def test_the_number_of_examples_has_no_default(penalty: type[Penalty]) -> None:
    assert inspect.signature(penalty).parameters["examples"].default is inspect.Parameter.empty


def test_no_free_bits_are_a_setting_of_their_recipe() -> None:
    """Of a sweep that begins at 0."""
    objective = recipes.free_bits_vae(DataSpec((5,), "binary"), latent=2, hidden=(6,), free_bits=0.0).objective
    assert objective.arguments == ELBO().arguments
