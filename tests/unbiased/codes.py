"""Small models with discrete codes, in double precision and with everything learned, and grids of their codes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from elbox import VAE
from elbox.baselines import MovingAverage, Zero
from elbox.estimators import NVIL, REBAR, RELAX, VIMCO, Estimator, Score
from elbox.likelihoods import Gaussian
from elbox.nn import MLP
from elbox.posteriors import BernoulliCode, CategoricalCode
from elbox.priors import BernoulliPrior, CategoricalPrior
from tests.unbiased.exact import Grid
from tests.unbiased.exact import codes as binary
from tests.unbiased.models import FEATURES, encoder, shaken


def choices(groups: int, categories: int) -> Grid:
    """All one-hot codes."""
    rows = itertools.product(torch.eye(categories, dtype=torch.float64).tolist(), repeat=groups)
    return Grid(torch.tensor([[*itertools.chain(*row)] for row in rows], dtype=torch.float64), 1.0)


class Family(NamedTuple):
    """A kind of code: prior, posterior and all codes."""

    prior: Callable[[], nn.Module]
    posterior: Callable[[], nn.Module]
    grid: Grid


FAMILIES = {
    "bits": Family(lambda: BernoulliPrior(3, learned=True), lambda: BernoulliCode(encoder(3), 3), binary(3)),
    "choices": Family(
        lambda: CategoricalPrior(2, 3, learned=True), lambda: CategoricalCode(encoder(2, 3), 2, 3), choices(2, 3)
    ),
}


def model(family: str) -> VAE:
    """A VAE with a nonlinear Gaussian likelihood, the same each time."""
    torch.manual_seed(1)
    kind = FAMILIES[family]
    p = Gaussian(MLP(kind.grid.z.shape[1], [3], FEATURES, nn.Tanh), offset=0.2, scale=1.3)
    return VAE(shaken(kind.prior(), 0.5), shaken(p, 0.5), shaken(kind.posterior()))


def networks(family: str) -> tuple[nn.Module, nn.Module]:
    """A surrogate and a baseline with weights of order one: neither is any good."""
    torch.manual_seed(2)
    surrogate = MLP(FAMILIES[family].grid.z.shape[1], [4], 1, nn.Tanh, context=FEATURES)
    return surrogate.double(), encoder(1).double()


ESTIMATORS: dict[str, Callable[[str], Estimator]] = {
    "Score": lambda _: Score(),
    "Score, zero": lambda _: Score(Zero()),
    "Score, moving average": lambda _: Score(MovingAverage(0.5)).double(),
    "VIMCO": lambda _: VIMCO(),
    "NVIL": lambda family: NVIL(networks(family)[1], 0.5).double(),
    "REBAR": lambda _: REBAR(temperature=0.4, scale=0.7).double(),
    "RELAX": lambda family: RELAX(*networks(family), temperature=0.6, scale=0.9).double(),
}
