"""Planar steps: z is moved along one direction, by an amount that depends on another."""

from __future__ import annotations

__all__ = ["Planar"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from zuko.lazy import LazyTransform

from elbox.errors import check_whole
from elbox.flows.tanh import above, root
from elbox.parts import part

TINY = 1e-12  # beside ‖w‖²


@part
class Planar(LazyTransform):
    r"""z' = z + û tanh(wᵀz + b), log |det| = log(1 + wᵀû tanh'(wᵀz + b)), with u, w and b affine functions of h.

    û = u + (m(wᵀu) − wᵀu) w/‖w‖² with m > −1 makes wᵀû > −1, so that the step is invertible. A single hyperplane is
    bent at a time: many steps are needed, and more in more dimensions. The inverse is the root of one increasing
    function of wᵀz, found by bisection.

    Reference: Rezende & Mohamed (2015), *Variational inference with normalizing flows*, §4.1 and appendix A.1 (with
    another m: see `elbox.flows.tanh.above`).

    Arguments:
        features: D.
        context: Number of features of h.

    Example:
        >>> import torch
        >>> z, log_det = Planar(3, 4)(torch.zeros(5, 4)).call_and_ladj(torch.zeros(5, 3))
        >>> z.shape, log_det.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(self, features: int, context: int) -> None:
        super().__init__()
        check_whole("features", features)
        check_whole("context", context)
        self.features = features
        self.hyper = nn.Linear(context, 2 * features + 1)

    def forward(self, c: Any = None) -> Transform:
        u, w, b = self.hyper(c).split([self.features, self.features, 1], -1)
        return _PlanarTransform(u, w, b.squeeze(-1))


class _PlanarTransform(Transform):
    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__()
        product = (w * u).sum(-1)
        self.a = above(product)  # wᵀû
        self.u = u + ((self.a - product) / (w.square().sum(-1) + TINY))[..., None] * w
        self.w, self.b = w, b

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.tanh((self.w * x).sum(-1) + self.b)
        return x + self.u * t[..., None], torch.log1p(self.a * (1 - t.square()))

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]

    def _inverse(self, y: Tensor) -> Tensor:
        along = root((self.w * y).sum(-1), self.a, torch.ones_like(self.a), self.b)  # wᵀz
        return y - self.u * torch.tanh(along + self.b)[..., None]
