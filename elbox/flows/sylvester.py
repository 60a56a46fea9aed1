"""Sylvester steps: planar steps of many hyperplanes at once."""

from __future__ import annotations

__all__ = ["Sylvester"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform, constraints
from zuko.lazy import LazyTransform

from elbox.errors import check_whole
from elbox.flows.basis import Basis, Householder
from elbox.flows.product import times
from elbox.flows.tanh import MARGIN, root
from elbox.parts import part


@part
class Sylvester(LazyTransform):
    r"""z' = z + Q R tanh(R̃ Qᵀz + b), log |det| = Σ_m log(1 + R_mm R̃_mm tanh'(·)_m).

    Q [D, M] has orthonormal columns, R and R̃ [M, M] are upper triangular with R_mm R̃_mm > −1, which makes the step
    invertible: both diagonals are tanh of outputs. One M × M matrix has R above its diagonal and R̃ᵀ below. All are
    affine functions of h, Q by way of its `Basis`. The inverse is M roots of increasing functions of one number, one
    after the other.

    Reference: van den Berg et al. (2018), *Sylvester normalizing flows for variational inference*, §3 (theorems 1 and
    2) and §4 (the three bases, amortisation).

    Arguments:
        features: D.
        context: Number of features of h.
        basis: Where Q comes from: `Orthogonal`, `Householder` or `Triangular`; None for `Householder()`.

    Example:
        >>> from elbox.flows import Orthogonal
        >>> step = Sylvester(3, 4, Orthogonal(2))
        >>> z, log_det = step(torch.ones(5, 4)).call_and_ladj(torch.zeros(5, 3))
        >>> z.shape, log_det.shape
        (torch.Size([5, 3]), torch.Size([5]))
    """

    def __init__(self, features: int, context: int, basis: Basis | None = None) -> None:
        super().__init__()
        check_whole("features", features)
        check_whole("context", context)
        self.features, self.basis = features, basis or Householder()
        m = self.basis.rank(features)
        self.sizes = [m * m, m, m, m, self.basis.size(features)]
        self.hyper = nn.Linear(context, sum(self.sizes))

    def forward(self, c: Any = None) -> Transform:
        both, first, second, shift, numbers = self.hyper(c).split(self.sizes, -1)
        both = both.unflatten(-1, (first.shape[-1], first.shape[-1]))
        first, second = (torch.diag_embed((1 - MARGIN) * torch.tanh(d)) for d in (first, second))
        q = self.basis(numbers, self.features)
        return _SylvesterTransform(q, both.triu(1) + first, both.tril(-1).mT + second, shift)


class _SylvesterTransform(Transform):
    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, q: Tensor, outer: Tensor, inner: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.q, self.outer, self.inner, self.shift = q, outer, inner, shift  # Q, R, R̃, b
        self.diagonal = outer.diagonal(dim1=-2, dim2=-1) * inner.diagonal(dim1=-2, dim2=-1)

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        t = torch.tanh(times(self.inner, times(self.q.mT, x)) + self.shift)
        return x + self._moved(t), torch.log1p(self.diagonal * (1 - t.square())).sum(-1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]

    def _moved(self, t: Tensor) -> Tensor:
        """Q R t."""
        return times(self.q, times(self.outer, t))

    def _inverse(self, y: Tensor) -> Tensor:
        goal = times(self.q.mT, y)  # Qᵀz' = v + R tanh(R̃ v + b) with v = Qᵀz, from the last row up
        v = goal[..., :0]
        t = goal[..., :0]
        for m in reversed(range(goal.shape[-1])):
            shift = self.shift[..., m] + (self.inner[..., m, m + 1 :] * v).sum(-1)
            rest = goal[..., m] - (self.outer[..., m, m + 1 :] * t).sum(-1)
            slope = self.inner[..., m, m]
            last = root(rest, self.outer[..., m, m], slope, shift)
            v = torch.cat([last[..., None], v], -1)
            t = torch.cat([torch.tanh(slope * last + shift)[..., None], t], -1)
        return y - self._moved(t)
