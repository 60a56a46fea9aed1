"""Angles as the input of a network."""

from __future__ import annotations

__all__ = ["Angles"]

from typing import Any

import torch
from torch import Tensor, nn

from elbox.parts import part


@part
class Angles(nn.Module):
    r"""z ↦ net(cos z, sin z): a function of angles that is continuous where π meets −π.

    Reparameterised gradients of a von Mises posterior are unbiased only for such functions.

    Reference: Mardia & Jupp (2000), *Directional statistics*, chapter 2 (an angle as a unit vector in the plane).

    Arguments:
        net: Network of 2D numbers, and of a condition if there is one.

    Shapes:
        z [..., D], radians, or a pair (z, c) → what `net` makes of [..., 2D].

    Example:
        >>> from elbox.nn import MLP
        >>> Angles(MLP(4, [8], 5))(torch.zeros(3, 2)).shape
        torch.Size([3, 5])
    """

    periodic = True

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Any) -> Tensor:
        angles, *condition = z if isinstance(z, tuple) else (z,)
        plane = torch.cat([angles.cos(), angles.sin()], -1)
        output: Tensor = self.net((plane, *condition) if condition else plane)
        return output
