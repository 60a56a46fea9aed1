"""The multiply importance-weighted bound: a mean of M bounds of K samples each."""

from __future__ import annotations

__all__ = ["MIWAE"]

import math

import torch
from torch import Tensor

from elbox.errors import ShapeError, check_whole
from elbox.objectives.base import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class MIWAE(Objective):
    r"""(1/M) Σ_m log (1/K) Σ_k w_mk, the mean of M importance-weighted bounds of K samples each.

    It is as tight as `IWAE(K)`; M divides the variance of its gradient by M and so lifts the signal-to-noise ratio of
    the inference model's gradient, which grows as √(M/K). MIWAE(1, K) is IWAE(K), MIWAE(M, 1) the ELBO of M samples.
    Sample m·K + k of `Terms` is the k-th of the m-th bound.

    Reference: Rainforth et al. (2018), *Tighter variational bounds are not necessarily better*, theorem 1 and §5.

    Arguments:
        outer: M ≥ 1, the number of bounds.
        inner: K ≥ 1, the number of samples in each; `samples` is M · K.

    Raises:
        SettingError: if M or K is not a whole number ≥ 1.
        ShapeError: if it is given terms of another number of samples than M · K.

    Example:
        >>> MIWAE(4, 16).samples
        64
    """

    def __init__(self, outer: int = 8, inner: int = 8) -> None:
        check_whole("outer", outer)
        check_whole("inner", inner)
        self.outer, self.inner = outer, inner
        self.samples = outer * inner

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return self._bounds(self._log_w(terms)).mean(0)

    def path_scale(self, terms: Terms) -> Tensor:
        return torch.softmax(self._log_w(terms), 1).flatten(0, 1)

    def leave_one_out(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        """Sample k leaves the bound that it is in, the other bounds stay; a bound of one sample becomes their mean."""
        log_w = self._log_w(terms)  # [M, K, B]
        bounds = self._bounds(log_w)[:, None]
        if self.inner > 1:
            left_out = torch.eye(self.inner, dtype=torch.bool, device=log_w.device)[..., None]
            others = log_w[:, None].masked_fill(left_out, -math.inf)  # [M, left out, K, B]
            stand_in = torch.logsumexp(others, 2) - math.log(self.inner - 1)
        else:
            stand_in = (bounds.sum(0) - bounds) / (self.outer - 1)
        return (bounds.mean(0) - (bounds - stand_in) / self.outer).flatten(0, 1)

    def bound(self) -> MIWAE:
        return self

    def _bounds(self, log_w: Tensor) -> Tensor:
        return torch.logsumexp(log_w, 1) - math.log(self.inner)  # [M, B]

    def _log_w(self, terms: Terms) -> Tensor:
        log_w = terms.log_w
        if log_w.shape[0] != self.samples:
            raise ShapeError(
                f"got {log_w.shape[0]} samples for MIWAE({self.outer}, {self.inner}); expected outer · inner = "
                f"{self.samples}"
            )
        return log_w.unflatten(0, (self.outer, self.inner))
