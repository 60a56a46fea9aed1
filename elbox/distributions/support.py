r"""Where distributions have mass: which priors fit which posteriors, and whose edges move.

KL(q ‖ p) is finite only if q has no mass where p has none. If p has mass where q can have none, the bound holds, but no
number of samples makes it tight, and an importance-weighted log p(x) converges to something less. So supports must
agree; one that moves with its parameters must lie in that of the prior wherever it goes.
"""

from __future__ import annotations

__all__ = [
    "Support",
    "centre",
    "check_rate",
    "curved",
    "discrete",
    "estimated",
    "fitting",
    "mean",
    "moves",
    "real",
    "support",
]

import math
from typing import Any, NamedTuple

from torch import Tensor
from torch.distributions import (
    Cauchy,
    Distribution,
    FisherSnedecor,
    Gumbel,
    Independent,
    Laplace,
    MixtureSameFamily,
    Normal,
    Pareto,
    StudentT,
    constraints,
)

from elbox.distributions.logistic import Logistic
from elbox.distributions.manifolds import Curved
from elbox.distributions.spike_slab import SpikeSlab
from elbox.distributions.student import MultivariateStudentT
from elbox.distributions.weibull import Weibull
from elbox.errors import IncompatibleError

# Posteriors whose tails are too heavy for a prior: E_q[log p] = −∞, for all parameters or (Laplace, Logistic) for some.
INFINITE: dict[type[Distribution], tuple[type[Distribution], ...]] = {
    Normal: (Cauchy,),
    Laplace: (Cauchy,),
    Logistic: (Cauchy,),
    Gumbel: (Cauchy, StudentT, MultivariateStudentT, Laplace, Logistic),
    SpikeSlab: (Cauchy,),
    Weibull: (Pareto, FisherSnedecor),
}
FITS = {  # for each support, a prior that every posterior on it may have
    (-math.inf, math.inf): "StudentT",
    (0.0, math.inf): "Gamma",
    (0.0, 1.0): "Beta",
    (-math.pi, math.pi): "VonMises",
    "simplex": "Dirichlet",
}


class Support(NamedTuple):
    """The smallest fixed set that holds a distribution's mass whatever its parameters: an interval, "simplex", or a
    space that is not flat."""

    where: tuple[float, float] | str | Curved
    moves: bool = False

    def __str__(self) -> str:
        names: Any = {
            (-math.inf, math.inf): "the real line",
            (0.0, math.inf): "positive numbers",
            "simplex": "the simplex",
        }
        place = f"{self.where}" if isinstance(self.where, Curved) else names.get(self.where, f"{self.where}")
        return f"an interval of {place} that moves" if self.moves else place


REAL = Support((-math.inf, math.inf))


def support(d: Distribution) -> Support | None:
    r"""Where a continuous distribution has mass; None if it is discrete, or does not say.

    Arguments:
        d: A distribution over vectors or numbers.

    Example:
        >>> import torch
        >>> from torch.distributions import Gamma, Uniform
        >>> print(support(Gamma(torch.ones(2), torch.ones(2))))
        positive numbers
        >>> print(support(Uniform(torch.zeros(2), torch.ones(2))))
        an interval of the real line that moves
    """
    try:
        region: Any = d.support
    except NotImplementedError:  # a flow
        return None
    while hasattr(region, "base_constraint"):  # of independent dimensions, or of a mixture
        region = region.base_constraint
    if isinstance(region, Curved):
        return Support(region)
    if isinstance(region, type(constraints.simplex)):
        return Support("simplex")
    if not isinstance(region, _INTERVALS):
        return None
    lower, upper = getattr(region, "lower_bound", -math.inf), getattr(region, "upper_bound", math.inf)
    if isinstance(lower, Tensor) or isinstance(upper, Tensor):  # edges that are parameters
        return Support((0.0 if isinstance(family(d), Pareto) else -math.inf, math.inf), moves=True)
    return Support((float(lower), float(upper)))


_INTERVALS = (
    type(constraints.real),
    constraints.greater_than,
    constraints.greater_than_eq,
    constraints.less_than,
    constraints.interval,
    constraints.half_open_interval,
)


def discrete(d: Distribution) -> bool:
    """Whether a distribution is over a countable set, such as of codes; a flow, which does not say, is not."""
    try:
        return d.support is not None and bool(d.support.is_discrete)
    except (AttributeError, NotImplementedError):
        return False


def real(d: Distribution) -> bool:
    """Whether a distribution has a density on the whole line in each dimension; a flow, which does not say, has one.

    On a part of the line most densities of torch go on beyond their support, to where nothing is to be found.

    Arguments:
        d: A distribution over vectors or numbers.

    Example:
        >>> import torch
        >>> from torch.distributions import Gamma
        >>> real(Normal(torch.zeros(2), torch.ones(2))), real(Gamma(torch.ones(2), torch.ones(2)))
        (True, False)
    """
    found = support(d)
    return not discrete(d) and (found is None or found.where == (-math.inf, math.inf))


def estimated(d: Distribution) -> bool:
    """Whether `log_prob` is an estimate, another one in each call: no chain can compare two of its values.

    Arguments:
        d: A distribution over vectors or numbers.

    Example:
        >>> import torch
        >>> estimated(Normal(torch.zeros(2), torch.ones(2)))
        False
    """
    return bool(getattr(d, "estimated", False)) or (hasattr(d, "base_dist") and estimated(d.base_dist))


def moves(d: Distribution) -> bool:
    r"""Whether the edges of a distribution's support are parameters of it.

    Then ∂_φ ∫ q = 0 = ∫ ∂_φ q + (density at the edges) × (their speed): the score ∂_φ log q has not mean zero, or has
    infinite variance where the density falls to 0 there. Only the derivative along reparameterised samples is right.

    Arguments:
        d: A distribution over vectors or numbers.

    Example:
        >>> import torch
        >>> from elbox.distributions import Triangular, VonMises
        >>> moves(Triangular(torch.zeros(2), torch.ones(2))), moves(VonMises(torch.zeros(2), torch.ones(2)))
        (True, False)
    """
    found = support(d)
    return found is not None and found.moves


def family(d: Distribution) -> Distribution:
    """One dimension, or one component, of a product or mixture."""
    while isinstance(d, Independent | MixtureSameFamily):
        d = d.base_dist if isinstance(d, Independent) else d.component_distribution
    return d


def centre(d: Distribution) -> Tensor | None:
    """The mean; for a Cauchy distribution, which has none, its median; None where no formula is known, as for flows.

    Arguments:
        d: A distribution over vectors or numbers.

    Example:
        >>> import torch
        >>> centre(Cauchy(torch.ones(2), torch.ones(2)))
        tensor([1., 1.])
    """
    return d.mode if isinstance(family(d), Cauchy) else mean(d)


def mean(d: Distribution) -> Tensor | None:
    """E[z]; None where there is none, as for a Cauchy distribution, or no formula is known, as for flows."""
    try:
        return None if isinstance(family(d), Cauchy) else d.mean
    except (NotImplementedError, AttributeError):
        return None


def curved(d: Distribution) -> bool:
    """Whether a distribution is over a space that is not flat: its coordinates are no dimensions by themselves.

    Arguments:
        d: A distribution over vectors.

    Example:
        >>> import torch
        >>> from elbox.distributions import HypersphericalUniform
        >>> curved(HypersphericalUniform(3, torch.zeros(())))
        True
    """
    found = support(d)
    return found is not None and isinstance(found.where, Curved)


def fitting(one: Support, other: Support | None = None) -> str:
    """A prior for posteriors on a support, in words; `other` is the support of one that does not fit."""
    if isinstance(one.where, Curved):
        return f"a {one.where.prior} prior over {one}"
    if other is not None and isinstance(other.where, Curved) and one.where == REAL.where:
        return "a StandardNormal prior"
    return f"priors.Factorized(latent, {FITS.get(one.where, 'the family of the posterior')})"


def check_rate(q: Distribution, p: Distribution) -> None:
    r"""Refuse a posterior and a prior whose KL(q ‖ p) is infinite, or whose bound could never be tight.

    Arguments:
        q: Posterior.
        p: Prior.

    Raises:
        IncompatibleError: if their supports differ, the prior's moves with its parameters, or the posterior's tails
            are too heavy.

    Example:
        >>> import torch
        >>> from torch.distributions import Gamma, Normal
        >>> check_rate(Gamma(torch.ones(2), torch.ones(2)), Normal(torch.zeros(2), torch.ones(2)))
        Traceback (most recent call last):
        elbox.errors.IncompatibleError: got a Gamma posterior over positive numbers with a Normal prior over the ...
    """
    one, other = support(q), support(p)
    if one is None or other is None:
        if not (curved(q) or curved(p)) or discrete(q) or discrete(p):
            return
        one, other = one or REAL, other or REAL  # a flow
    differ, infinite = one.where != other.where, isinstance(family(q), INFINITE.get(type(family(p)), ()))
    if not (differ or other.moves or infinite):
        return
    named = f"a {type(family(q)).__name__} posterior over {one} with a {type(family(p)).__name__} prior over {other}"
    way_out = f"use {fitting(one, other)}"
    if differ or other.moves:
        wanted = "a prior whose support does not move" if other.moves else "the same support for both"
        raise IncompatibleError(f"got {named}; expected {wanted}; {way_out}")
    raise IncompatibleError(
        f"got {named}, whose KL(posterior ‖ prior) is infinite: the prior's tails are too light; {way_out}"
    )
