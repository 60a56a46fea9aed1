"""Coupling steps: one half of the dimensions is changed by a function that depends on the other half."""

from __future__ import annotations

__all__ = ["Coupling"]

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributions import Transform
from zuko.flows.coupling import GeneralCouplingTransform
from zuko.lazy import LazyTransform

from elbox.errors import check_whole
from elbox.flows.elementwise import Affine
from elbox.flows.univariate import Univariate
from elbox.parts import part


@part
class Coupling(LazyTransform):
    r"""z'_a = z_a, z'_b = f(z_b; φ(z_a, h)) with φ a network: one pass forward, one pass back.

    a and b are every other dimension. Of one dimension, b is it and φ depends on h alone.

    Reference: Dinh, Krueger & Bengio (2015), *NICE*, §3; Dinh, Sohl-Dickstein & Bengio (2017), *Density estimation
    using Real NVP*, §3.2; Durkan et al. (2019), *Neural spline flows*, §3 (with `Spline`).

    Arguments:
        features: D.
        context: Number of features of h.
        univariate: What f is; None for `Affine()`.
        hidden: Widths of the network's hidden layers.
        activation: Its non-linearity.
        flipped: Change the other half.

    Example:
        >>> step = Coupling(3, 4)
        >>> z, log_det = step(torch.zeros(5, 4)).call_and_ladj(torch.zeros(5, 3))
        >>> z.shape, log_det.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(
        self,
        features: int,
        context: int,
        univariate: Univariate | None = None,
        hidden: Sequence[int] = (64, 64),
        activation: type[nn.Module] = nn.ReLU,
        *,
        flipped: bool = False,
    ) -> None:
        super().__init__()
        check_whole("features", features)
        check_whole("context", context)
        chosen = univariate or Affine()
        self.transform = GeneralCouplingTransform(
            features,
            context,
            mask=torch.arange(features) % 2 == int(not flipped),
            univariate=chosen,
            shapes=chosen.shapes,
            hidden_features=hidden,
            activation=activation,
        )

    def forward(self, c: Any = None) -> Transform:
        return self.transform(c)
