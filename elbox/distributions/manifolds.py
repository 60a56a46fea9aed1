r"""Latent spaces that are not flat, as constraints of torch: products of spheres, and the Poincaré ball.

Two of them are the same space if they are equal. Their names stand in messages.
"""

from __future__ import annotations

__all__ = ["Ball", "Curved", "Spheres"]

from typing import Any

from torch import Tensor
from torch.distributions import constraints

TOLERANCE = 1e-4  # of a length, in single precision


class Curved(constraints.Constraint):
    """A space of vectors [D] with a geometry of its own; `prior` names a prior over it."""

    is_discrete, event_dim = False, 1
    prior: str


class Spheres(Curved):
    r"""m unit spheres S^{d−1} ⊂ R^d side by side in one flat vector of D = m·d numbers.

    Arguments:
        count: m.
        size: d.

    Example:
        >>> import torch
        >>> Spheres(2, 2), Spheres(2, 2).check(torch.tensor([1.0, 0.0, 0.6, 0.8]))
        (a product of 2 spheres S^1, tensor(True))
    """

    prior = "SphericalUniform"

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size

    def check(self, value: Tensor) -> Tensor:
        return ((value.unflatten(-1, (self.count, self.size)).norm(dim=-1) - 1).abs() < TOLERANCE).all(-1)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Spheres) and (self.count, self.size) == (other.count, other.size)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        one = f"S^{self.size - 1}"
        return f"the sphere {one}" if self.count == 1 else f"a product of {self.count} spheres {one}"


class Ball(Curved):
    r"""The Poincaré ball {z ∈ R^n: c|z|² < 1} of curvature −c.

    Arguments:
        size: n.
        curvature: c > 0, a number or a scalar tensor.

    Example:
        >>> import torch
        >>> Ball(2, 4.0), Ball(2, 4.0).check(torch.tensor([0.0, 0.6]))
        (the Poincaré ball of curvature −4 in R^2, tensor(False))
    """

    prior = "WrappedNormal"

    def __init__(self, size: int, curvature: float | Tensor) -> None:
        self.size, self.curvature = size, curvature

    def check(self, value: Tensor) -> Tensor:
        return self.curvature * value.square().sum(-1) < 1

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Ball) or self.size != other.size:
            return False
        if all(isinstance(ball.curvature, Tensor) for ball in (self, other)) and _recorded():
            return True  # a tensor has no value then
        return _number(self.curvature) == _number(other.curvature)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"the Poincaré ball of curvature −{_number(self.curvature):g} in R^{self.size}"


def _number(curvature: float | Tensor) -> float:
    return float(curvature.item() if isinstance(curvature, Tensor) else curvature)


def _recorded() -> bool:
    """Whether operators are being noted (`elbox.record`)."""
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    return get_proxy_mode() is not None
