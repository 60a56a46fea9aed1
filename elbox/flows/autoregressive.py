"""Autoregressive steps: each dimension is changed by a function that depends on those before it."""

from __future__ import annotations

__all__ = ["Autoregressive", "Inverse"]

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributions import Transform
from zuko.flows.autoregressive import MaskedAutoregressiveTransform
from zuko.lazy import LazyInverse, LazyTransform

from elbox.errors import check_whole
from elbox.flows.elementwise import Gate
from elbox.flows.univariate import Univariate
from elbox.parts import part


@part
class Autoregressive(LazyTransform):
    r"""z'_d = f(z_d; φ_d) with φ_d a masked network's function of z_{<d} and h: one pass forward, D passes back.

    As a step of a posterior it is an inverse autoregressive flow: all dimensions of a sample are drawn at once, and its
    density is known with it. `Inverse` of it is a masked autoregressive flow: D passes for a sample, one for a density.

    Reference: Kingma et al. (2016), *Improving variational inference with inverse autoregressive flow*, algorithm 1;
    Papamakarios, Pavlakou & Murray (2017), *Masked autoregressive flow for density estimation*, §3; Germain et al.
    (2015), *MADE* (the masks).

    Arguments:
        features: D.
        context: Number of features of h.
        univariate: What f is; None for `Gate()`.
        hidden: Widths of the network's hidden layers.
        activation: Its non-linearity.
        flipped: Take the dimensions from the last to the first.

    Example:
        >>> step = Autoregressive(3, 4)
        >>> z, log_det = step(torch.zeros(5, 4)).call_and_ladj(torch.zeros(5, 3))
        >>> z.shape, log_det.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(
        self,
        features: int,
        context: int,
        univariate: Univariate | None = None,
        hidden: Sequence[int] = (64,),
        activation: type[nn.Module] = nn.ELU,
        *,
        flipped: bool = False,
    ) -> None:
        super().__init__()
        check_whole("features", features)
        check_whole("context", context)
        chosen, order = univariate or Gate(), torch.arange(features)
        self.transform = MaskedAutoregressiveTransform(
            features,
            context,
            order=order.flip(0) if flipped else order,
            univariate=chosen,
            shapes=chosen.shapes,
            hidden_features=hidden,
            activation=activation,
        )

    def forward(self, c: Any = None) -> Transform:
        return self.transform(c)


@part
class Inverse(LazyInverse):
    r"""z' = f⁻¹(z | h): a step in the other direction, as zuko's `LazyInverse`.

    Reference: Papamakarios, Pavlakou & Murray (2017), *Masked autoregressive flow for density estimation*, §3.1 (MAF
    and IAF are each other's inverse).

    Arguments:
        transform: The step f.

    Example:
        >>> step = Autoregressive(3, 4)
        >>> c, z = torch.ones(5, 4), torch.randn(5, 3)
        >>> torch.allclose(Inverse(step)(c)(step(c)(z)), z, atol=1e-4)
        True
    """

    def __init__(self, transform: LazyTransform) -> None:
        super().__init__(transform)
