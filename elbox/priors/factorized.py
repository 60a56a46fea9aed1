"""A prior of any family, independent over latent dimensions, with fixed or learned parameters."""

from __future__ import annotations

__all__ = ["Factorized"]

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Laplace, constraints
from zuko.lazy import LazyDistribution

from elbox.distributions.families import Parameter, parameters, product
from elbox.errors import SettingError, check_whole
from elbox.parts import part


@part
class Factorized(LazyDistribution):
    r"""p(z) = Π_d p(z_d; θ_d) of any family in `elbox.distributions.families`, such as Laplace, Gamma or Beta.

    Parameters that are not given are those of `elbox.posteriors.Factorized` at a network output of 0: location 0, scale
    and shape 1. A Dirichlet is one joint distribution over the D dimensions. Uniform priors are Beta with both
    concentrations 1, and VonMises with concentration 0.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2.4 (the families).

    Arguments:
        latent: Dimension D of z.
        family: Class of a distribution over numbers, or Dirichlet.
        learned: Whether the parameters are learned, from the given values on; fixed otherwise.

    Other arguments are the family's parameters by name, numbers or D of them.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Raises:
        SettingError: if the family is unknown or has no such parameter, or a value is out of range.

    Example:
        >>> from torch.distributions import Gamma
        >>> p = Factorized(2, Gamma, concentration=2.0, rate=(1.0, 4.0))()
        >>> p.mean
        tensor([2.0000, 0.5000])
    """

    def __init__(
        self,
        latent: int,
        family: type[Distribution] = Laplace,
        *,
        learned: bool = False,
        **values: float | Sequence[float],
    ) -> None:
        super().__init__()
        check_whole("latent", latent)
        self.latent, self.family, self.learned = latent, family, learned
        known, cls = parameters(family), cast(Any, family)  # whose constraints mypy takes for a property
        for name in values:
            if name not in known:
                raise SettingError(f"got {name}=… for {family.__name__}; expected some of {', '.join(known)}")
        for name, parameter in known.items():
            start = _start(name, parameter, values.get(name), latent)
            natural: constraints.Constraint = cls.arg_constraints[name]
            if not bool(natural.check(start).all()):
                raise SettingError(f"got {name}={values[name]} for {family.__name__}; expected values in {natural}")
            if learned:
                self.register_parameter(name, nn.Parameter(_unconstrained(name, parameter, start)))
            else:
                self.register_buffer(name, start, persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        known = parameters(self.family)
        values = {n: to(getattr(self, n)) if self.learned else getattr(self, n) for n, to in known.items()}
        return product(self.family, values)


def _start(name: str, parameter: Parameter, value: float | Sequence[float] | None, latent: int) -> Tensor:
    if value is None:
        return parameter(torch.zeros(latent))
    start = torch.as_tensor(value, dtype=torch.get_default_dtype())
    if start.dim() > 1 or start.numel() not in (1, latent):
        raise SettingError(f"got {start.numel()} values of {name}; expected 1 or {latent}, one for each dimension")
    return start.expand(latent).clone()


def _unconstrained(name: str, parameter: Parameter, start: Tensor) -> Tensor:
    inverse = parameter.inverse(start)
    if not bool(inverse.isfinite().all()):
        low, high = (float(parameter(torch.tensor(x))) for x in (-1e9, 1e9))
        got = float(start[~inverse.isfinite()][0])
        raise SettingError(f"got {name}={got:.3g} to learn; expected values between {low:.3g} and {high:.3g}")
    return inverse
