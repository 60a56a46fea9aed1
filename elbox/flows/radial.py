"""Radial steps: z moves to or from a centre."""

from __future__ import annotations

__all__ = ["Radial"]

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from zuko.lazy import LazyTransform

from elbox.distributions import soft_clip
from elbox.errors import check_whole
from elbox.parts import part


@part
class Radial(LazyTransform):
    r"""z' = z + β̂ (z − c)/(α + r) with r = ‖z − c‖, α > 0 and β̂ = −α + m, m = log(1 + e^β) > 0.

    So z' − c is (z − c) (r + m)/(α + r), and

        log |det| = (D − 1) log (r + m)/(α + r) + log (r² + 2αr + αm)/(α + r)².

    c, log α and β are affine functions of h. The inverse is a root of r² + (m − r')r − αr' = 0.

    Reference: Rezende & Mohamed (2015), *Variational inference with normalizing flows*, §4.1 and appendix A.2.

    Arguments:
        features: D.
        context: Number of features of h.

    Example:
        >>> import torch
        >>> z, log_det = Radial(3, 4)(torch.zeros(5, 4)).call_and_ladj(torch.zeros(5, 3))
        >>> z.shape, log_det.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(self, features: int, context: int) -> None:
        super().__init__()
        check_whole("features", features)
        check_whole("context", context)
        self.features = features
        self.hyper = nn.Linear(context, features + 2)

    def forward(self, c: Any = None) -> Transform:
        centre, log_alpha, beta = self.hyper(c).split([self.features, 1, 1], -1)
        return _RadialTransform(centre, soft_clip(log_alpha).exp().squeeze(-1), F.softplus(beta).squeeze(-1))


class _RadialTransform(Transform):
    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, centre: Tensor, alpha: Tensor, m: Tensor) -> None:
        super().__init__()
        self.centre, self.alpha, self.m = centre, alpha, m

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        off = x - self.centre
        r = torch.linalg.vector_norm(off, dim=-1)
        outer, inner = self.alpha + r, r + self.m
        across = (x.shape[-1] - 1) * (inner.log() - outer.log())
        along = (r.square() + 2 * self.alpha * r + self.alpha * self.m).log() - 2 * outer.log()
        return self.centre + off * (inner / outer)[..., None], across + along

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]

    def _inverse(self, y: Tensor) -> Tensor:
        off = y - self.centre
        after = torch.linalg.vector_norm(off, dim=-1)
        half = (after - self.m) / 2
        r = half + (half.square() + self.alpha * after).sqrt()
        return self.centre + off * ((self.alpha + r) / (r + self.m))[..., None]
