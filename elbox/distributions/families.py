r"""Families of distributions that a posterior or prior may take, and the one map from numbers to their parameters.

A network's output x becomes a parameter in two steps: it is clipped softly to a range in which neither samples nor
densities over- or underflow in single precision, and mapped to where the parameter may lie,

    θ = T(clip(x)),      T = torch.distributions.biject_to(constraint),

so that x = 0 gives location 0 and scale 1, and the clip is the identity near 0.
"""

from __future__ import annotations

__all__ = ["FAMILIES", "Parameter", "parameters", "product"]

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import (
    Beta,
    Cauchy,
    Chi2,
    Dirichlet,
    Distribution,
    Exponential,
    FisherSnedecor,
    Gamma,
    Gumbel,
    HalfNormal,
    Independent,
    Laplace,
    LogNormal,
    Normal,
    Pareto,
    StudentT,
    biject_to,
    constraints,
)

from elbox import parts
from elbox.distributions.bounded import Triangular, Uniform
from elbox.distributions.logistic import Logistic
from elbox.distributions.normal import LOG_SCALE_BOUND, soft_clip
from elbox.distributions.rayleigh import Rayleigh
from elbox.distributions.von_mises import VonMises
from elbox.distributions.weibull import Weibull
from elbox.errors import SettingError


class Parameter(NamedTuple):
    """Where a parameter may lie, and the range [below, above] of the unconstrained number behind it."""

    constraint: constraints.Constraint
    below: float = -LOG_SCALE_BOUND
    above: float = LOG_SCALE_BOUND

    def __call__(self, x: Tensor) -> Tensor:
        """The parameter of an unconstrained number, any shape."""
        clipped = torch.where(x < 0, soft_clip(x, -self.below), soft_clip(x, self.above))
        value: Tensor = biject_to(self.constraint)(clipped)
        return value

    def inverse(self, value: Tensor) -> Tensor:
        """The unconstrained number of a parameter; NaN or infinite for one that is out of range."""
        y: Tensor = biject_to(self.constraint).inv(value)
        bound = torch.where(y < 0, -self.below, self.above)
        return torch.where(y.abs() < bound, y / (1 - y.abs() / bound), math.nan)


LOCATION = Parameter(constraints.real, -1000.0, 1000.0)
SCALE = Parameter(constraints.positive)  # e^{±10}, as everywhere in elbox; rates too
SHAPE = Parameter(constraints.positive, math.log(0.3), math.log(1000))  # below 0.3 samples underflow
BETA = Parameter(constraints.positive, math.log(0.5), math.log(1000))  # below, 1 − z is lost to rounding
FREEDOM = Parameter(constraints.positive, math.log(0.6), math.log(1000))  # twice a shape


def heavy(power: float) -> Parameter:
    """The exponent of a tail so light that the variance is finite."""
    return Parameter(constraints.greater_than(power), -3.0, math.log(1000))


FAMILIES: dict[type[Distribution], Mapping[str, Parameter]] = {
    Normal: {"loc": LOCATION, "scale": SCALE},
    Laplace: {"loc": LOCATION, "scale": SCALE},
    Logistic: {"loc": LOCATION, "scale": SCALE},
    Cauchy: {"loc": LOCATION, "scale": SCALE},
    Gumbel: {"loc": LOCATION, "scale": SCALE},
    StudentT: {"loc": LOCATION, "scale": SCALE, "df": heavy(2.0)},
    Uniform: {"loc": LOCATION, "scale": SCALE},
    Triangular: {"loc": LOCATION, "scale": SCALE},
    Exponential: {"rate": SCALE},
    Gamma: {"concentration": SHAPE, "rate": SCALE},
    Chi2: {"df": FREEDOM},
    FisherSnedecor: {"df1": FREEDOM, "df2": heavy(4.0)},
    HalfNormal: {"scale": SCALE},
    LogNormal: {"loc": Parameter(constraints.real), "scale": Parameter(constraints.positive, above=math.log(5))},
    Pareto: {"scale": SCALE, "alpha": heavy(2.0)},
    Rayleigh: {"scale": SCALE},
    Weibull: {"scale": SCALE, "concentration": SHAPE},
    Beta: {"concentration1": BETA, "concentration0": BETA},
    Dirichlet: {"concentration": SHAPE},
    VonMises: {"loc": LOCATION, "concentration": SCALE},  # up to 22 000: a spread of 0.007 rad
}

parts.FAMILIES.update({family.__name__: family for family in FAMILIES})


def parameters(family: type[Distribution]) -> Mapping[str, Parameter]:
    """The parameters of a family by name, in the order in which a network gives them.

    Arguments:
        family: A key of `FAMILIES`.

    Raises:
        SettingError: if it is not among them.

    Example:
        >>> list(parameters(Gamma))
        ['concentration', 'rate']
    """
    if family not in FAMILIES:
        known = ", ".join(f.__name__ for f in FAMILIES)
        hint = f": use elbox.distributions.{family.__name__}" if family.__name__ in parts.FAMILIES else ""
        raise SettingError(f"got the family {family.__module__}.{family.__name__}; expected one of {known}{hint}")
    return FAMILIES[family]


def product(family: type[Distribution], values: Mapping[str, Tensor]) -> Distribution:
    """Independent over the last dimension; a Dirichlet is one joint distribution over it.

    Arguments:
        family: A key of `FAMILIES`.
        values: Its parameters by name, each [..., D].

    Example:
        >>> product(Gamma, {"concentration": torch.ones(3, 2), "rate": torch.ones(2)}).event_shape
        torch.Size([2])
    """
    make: Callable[..., Distribution] = family
    one = make(**values)
    return one if one.event_shape else Independent(one, 1, validate_args=False)
