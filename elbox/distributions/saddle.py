r"""Probabilities of large counts without cancellation: what Stirling's formula leaves, and deviances.

In log Poisson(k; μ) = k log μ − μ − log k! terms of size k log k cancel to one of size log k, and in float32, for
k = 10⁶, nearly all digits with them. In the form −D(k, μ) − R(k) with

    R(x) = log x! − x log x + x ≈ ½ log 2πx       what Stirling's formula leaves, R(0) = 0
    D(x, m) = x log(x/m) − x + m ≥ 0              half the deviance of x from its mean m, 0 at x = m

nothing cancels. Multinomial and negative binomial probabilities consist of such terms too.

Reference: Loader (2000), *Fast and accurate computation of binomial probabilities* (there R(x) = δ(x) + ½ log 2πx and
D(x, m) = m D₀(x/m)).
"""

from __future__ import annotations

__all__ = ["deviance", "positive", "stirling_rest"]

import math
from typing import Any

import torch
from torch import Tensor

S_7 = 0.011896709945831163  # s(7) of the terms below, so that R(0) = 0


def stirling_rest(x: Tensor) -> Tensor:
    r"""R(x) = log Γ(x + 1) − x log x + x, to 1e-13, in float32 to 2e-6, without the slow `lgamma` and `digamma`.

    With c = x + 7, Γ(x + 1) = Γ(c)/(x + 1) … (x + 6), Stirling's series s for Γ(c), and u = x/c

        R(x) = x log(1 + 7/x) + s(c) − s(7) − log √(7/c) (1 + 37u/6 + u²)(1 + 29u/10 + u²)(1 + 25u/12 + u²).

    Reference: Abramowitz & Stegun (1964), *Handbook of mathematical functions*, eq. 6.1.41 and 6.3.18.

    Arguments:
        x: ≥ 0, any shape.

    Example:
        >>> stirling_rest(torch.tensor([0.0, 1.0, 1e6]))  # R(1) = 1
        tensor([0.0000, 1.0000, 7.8267])
    """
    return _StirlingRest.apply(x)


def deviance(x: Tensor, gap: Tensor, log_ratio: Tensor) -> Tensor:
    r"""D(x, m) = x (a − log(1 + a)), a = (m − x)/x, with its gradient ∂D/∂log m = m − x.

    log(1 + a) is `log1p(a)` near 0, and log(m/x) itself towards a = −1, where 1 + a would have lost its digits.

    Arguments:
        x: > 0, any shape: 0 by way of `positive`.
        gap: m − x, broadcastable with `x`.
        log_ratio: log(m/x), likewise; the gradient to m is by way of it alone.

    Example:
        >>> x, m = torch.tensor([1e6, 5.0]), torch.tensor([1e6 + 1000, 1e-30])
        >>> deviance(x, m - x, torch.log(m / x))  # nearly ½, and 5 (30 log 10 + log 5 − 1)
        tensor([  0.4997, 348.4350])
    """
    return _Deviance.apply(x, gap, log_ratio)


def positive(x: Tensor) -> Tensor:
    """Counts by which can be divided: 0 becomes 1e-20, and D(0, m) = m still."""
    return x.clamp(min=1e-20)


class _StirlingRest(torch.autograd.Function):
    """In place: on a CPU new memory costs more than the arithmetic."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        inverse = 1 / (x + 7)
        square = inverse * inverse
        series = square * (-691 / 360360)
        for coefficient in (1 / 1188, -1 / 1680, 1 / 1260, -1 / 360):
            series.add_(coefficient).mul_(square)
        series.add_(1 / 12).mul_(inverse).sub_(S_7)
        share = x * inverse
        square = (share * share).add_(1)
        factors = inverse.mul_(7).sqrt_()
        for coefficient in (37 / 6, 29 / 10, 25 / 12):
            factors.mul_(torch.add(square, share, alpha=coefficient))
        return positive(x).reciprocal_().mul_(7).log1p_().mul_(x).add_(series).sub_(factors.log_())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        c = x + 7
        square, product = 1 / (c * c), x * c  # (x + 1)(x + 6) = xc + 6, and so on
        steps = (x + c) * (1 / (product + 6) + 1 / (product + 10) + 1 / (product + 12)) + 0.5 / c
        series = square * (691 / 32760)
        for coefficient in (-1 / 132, 1 / 240, -1 / 252, 1 / 120, -1 / 12):
            series = (series + coefficient) * square
        return gradient * (torch.log1p(7 / positive(x)) - steps + series)


class _Deviance(torch.autograd.Function):
    """A function of x and log(m/x): the gap only says the same more exactly, and is the derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gap: Tensor, log_ratio: Tensor) -> Tensor:
        excess = gap / x
        near, far = excess.clamp(min=-0.5).log1p_(), (log_ratio + math.log(2)).clamp_(max=0)
        return excess.sub_(near).sub_(far).mul_(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor]:
        x, gap, log_ratio, value = ctx.saved_tensors
        to_x = (gradient * value / x).sum_to_size(x.shape) if ctx.needs_input_grad[0] else None
        return to_x, None, (gradient * gap).sum_to_size(log_ratio.shape)
