"""Univariate functions that bend: rational-quadratic splines and monotone networks."""

from __future__ import annotations

__all__ = ["Neural", "Spline"]

from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Transform
from zuko.flows.neural import MNN
from zuko.transforms import MonotonicRQSTransform

from elbox.errors import check_number, check_whole
from elbox.flows.univariate import Univariate
from elbox.parts import part

REACH = 100.0  # a monotone network is inverted by bisection within ±REACH


@part
class Spline(Univariate):
    r"""A monotone rational-quadratic spline of K bins on [−B, B], the identity outside.

    Reference: Durkan et al. (2019), *Neural spline flows*, §3.1.

    Arguments:
        bins: K.
        bound: B, in units of z.

    Example:
        >>> import torch
        >>> Spline(bins=4).shapes
        ((4,), (4,), (3,))
    """

    def __init__(self, bins: int = 8, bound: float = 5.0) -> None:
        super().__init__()
        check_whole("bins", bins, 2)
        check_number("bound", bound, positive=True)
        self.bins, self.bound = bins, bound

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.bins,), (self.bins,), (self.bins - 1,))

    def forward(self, widths: Tensor, heights: Tensor, derivatives: Tensor) -> Transform:
        return MonotonicRQSTransform(widths, heights, derivatives, bound=self.bound)


@part
class Neural(Univariate):
    r"""y = net(x; s), a network with positive weights that is given a signal s of its own for each dimension.

    Its inverse is found by bisection, for |x| < 100.

    Reference: Huang et al. (2018), *Neural autoregressive flows*, §3.

    Arguments:
        signal: Number of features of s.
        hidden: Widths of the network's hidden layers, even numbers; all dimensions of a step share the network.

    Example:
        >>> import torch
        >>> y = Neural(signal=4)(torch.zeros(2, 4))(torch.tensor([0.0, 1.0]))
        >>> bool(y[1] > y[0])
        True
    """

    def __init__(self, signal: int = 16, hidden: Sequence[int] = (32, 32)) -> None:
        super().__init__()
        check_whole("signal", signal)
        self.signal = signal
        self.network = MNN(signal, hidden_features=hidden)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.signal,),)

    def forward(self, signal: Tensor) -> Transform:
        found = self.network(signal)
        found.bound = REACH
        return found
