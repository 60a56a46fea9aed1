"""A continuous step: the flow of an ordinary differential equation."""

from __future__ import annotations

__all__ = ["Continuous"]

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributions import Transform
from zuko.flows.continuous import FFJTransform
from zuko.lazy import LazyTransform

from elbox.errors import check_number, check_whole
from elbox.parts import part


@part
class Continuous(LazyTransform):
    r"""z' = z(1) of ż = net(z, t, h) from z(0) = z, with log |det| = ∫₀¹ tr ∂net/∂z dt.

    The solver is adaptive, so that the number of network calls depends on the numbers, and a training step is not
    recorded. Backwards in time is the inverse. With `exact=False` the trace is Hutchinson's estimate *while the model
    is trained*; where it is evaluated it is exact always, for noise in log q(z|x) would make an importance-weighted
    bound too large.

    Reference: Grathwohl et al. (2019), *FFJORD: free-form continuous dynamics for scalable reversible generative
    models*, §3.

    Arguments:
        features: D.
        context: Number of features of h.
        hidden: Widths of the network's hidden layers.
        activation: Its non-linearity, a smooth one.
        tolerance: Absolute and relative tolerance of the solver; at least ten times the rounding of the numbers that it
            is given, below which no step would ever be small enough.
        exact: Take the trace exactly in training too, at D passes backward through the network.

    Example:
        >>> import torch
        >>> z, log_det = Continuous(2, 4)(torch.zeros(5, 4)).call_and_ladj(torch.zeros(5, 2))
        >>> z.shape, log_det.shape
        (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(
        self,
        features: int,
        context: int,
        hidden: Sequence[int] = (64, 64),
        activation: type[nn.Module] = nn.ELU,
        tolerance: float = 1e-5,
        *,
        exact: bool = True,
    ) -> None:
        super().__init__()
        check_whole("features", features)
        check_whole("context", context)
        check_number("tolerance", tolerance, positive=True)
        self.exact, self.tolerance = exact, tolerance
        self.transform = FFJTransform(
            features, context, atol=tolerance, rtol=tolerance, hidden_features=hidden, activation=activation
        )

    def forward(self, c: Any = None) -> Transform:
        self.transform.exact = self.exact or not self.training
        weight = next(self.transform.parameters())
        self.transform.atol = self.transform.rtol = max(self.tolerance, 10 * torch.finfo(weight.dtype).eps)
        return self.transform(c)
