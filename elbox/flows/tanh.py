"""What planar and Sylvester steps share: x + a tanh(s x + c) with a s > −1, an increasing function, and its inverse."""

from __future__ import annotations

__all__ = ["above", "root"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 1e-4  # products stay this far above −1, so that a determinant has a logarithm in single precision
HALVINGS = 30  # of an interval of width 2|a|; a Newton step then doubles the digits


def above(x: Tensor) -> Tensor:
    r"""m(x) > −1, increasing, with m(0) = 0 and m(x) ≈ x for large x: (1 − 10⁻⁴)(log(1 + (e − 1) eˣ) − 1).

    Rezende & Mohamed (2015), appendix A.1, have m(x) = log(1 + eˣ) − 1; with m(0) ≠ 0 their û = u + (m(wᵀu) − wᵀu)
    w/‖w‖² is infinite at w = 0.

    Arguments:
        x: Any shape.

    Example:
        >>> above(torch.tensor([-1e9, 0.0, 20.0]))
        tensor([-0.9999,  0.0000, 19.5393])
    """
    return (1 - MARGIN) * (F.softplus(x + math.log(math.e - 1)) - 1)


def root(y: Tensor, a: Tensor, s: Tensor, c: Tensor) -> Tensor:
    r"""The x with x + a tanh(s x + c) = y, where a s > −1; differentiable in all four.

    By bisection of y ± |a|, and one Newton step, whose derivative is that of the implicit function.

    Arguments:
        y: Of any shape that the others broadcast to.
        a: Height of the tanh.
        s: Its slope.
        c: Its shift.

    Example:
        >>> x = root(torch.tensor(1.0), torch.tensor(2.0), torch.tensor(1.0), torch.tensor(0.0))
        >>> torch.allclose(x + 2 * x.tanh(), torch.tensor(1.0))
        True
    """
    with torch.no_grad():
        low, high = y - a.abs(), y + a.abs()
        for _ in range(HALVINGS):
            x = (low + high) / 2
            below = x + a * torch.tanh(s * x + c) < y
            low, high = torch.where(below, x, low), torch.where(below, high, x)
        x = (low + high) / 2
        slope = 1 + a * s * (1 - torch.tanh(s * x + c).square())
    return x - (x + a * torch.tanh(s * x + c) - y) / slope
