"""A linear step, which mixes all dimensions."""

from __future__ import annotations

__all__ = ["Linear"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform
from zuko.lazy import LazyTransform
from zuko.transforms import LULinearTransform

from elbox.distributions import soft_clip
from elbox.errors import check_whole
from elbox.flows.product import times
from elbox.parts import part


@part
class Linear(LazyTransform):
    r"""z' = L U z with triangular L(h), U(h), the diagonal of L positive and that of U 1: log |det| = Σ_d log L_dd.

    All D² entries are affine functions of h (the diagonal through exp); a new step is near the identity.

    Reference: Kingma & Dhariwal (2018), *Glow: generative flow with invertible 1×1 convolutions*, §3.2 (of one pixel,
    and without its fixed permutation).

    Arguments:
        features: D.
        context: Number of features of h.

    Example:
        >>> step = Linear(3, 4)
        >>> z, log_det = step(torch.zeros(5, 4)).call_and_ladj(torch.ones(5, 3))
        >>> z[0], log_det[0].item()
        (tensor([1., 1., 1.], grad_fn=<SelectBackward0>), 0.0)
    """

    def __init__(self, features: int, context: int) -> None:
        super().__init__()
        check_whole("features", features)
        check_whole("context", context)
        self.features = features
        self.hyper = nn.Linear(context, features**2)
        nn.init.zeros_(self.hyper.bias)
        with torch.no_grad():
            self.hyper.weight.mul_(0.1)  # products of many random triangles are badly conditioned

    def forward(self, c: Any = None) -> Transform:
        entries = self.hyper(c).unflatten(-1, (self.features, self.features))
        diagonal = soft_clip(entries.diagonal(dim1=-2, dim2=-1)).exp()
        return _LUTransform(entries.tril(-1) + entries.triu(1) + torch.diag_embed(diagonal))


class _LUTransform(LULinearTransform):
    def _call(self, x: Tensor) -> Tensor:
        return times(self.L, times(self.U, x))
