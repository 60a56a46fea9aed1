"""Orthonormal bases that a Sylvester step works in, made of the outputs of a network."""

from __future__ import annotations

__all__ = ["Basis", "Householder", "Orthogonal", "Triangular"]

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from elbox.errors import SettingError, check_whole
from elbox.parts import part

TINY = 1e-12  # beside ‖v‖²


class Basis(ABC):
    """M orthonormal vectors in D dimensions, the columns of Q, from n numbers of each example."""

    @abstractmethod
    def rank(self, features: int) -> int:
        """M, for D features."""

    @abstractmethod
    def size(self, features: int) -> int:
        """n, for D features."""

    @abstractmethod
    def __call__(self, numbers: Tensor, features: int) -> Tensor:
        """Q [..., D, M] of numbers [..., n]."""


@part
class Orthogonal(Basis):
    r"""M ≤ D columns Q of the decomposition Q R of a D × M matrix.

    Reference: van den Berg et al. (2018), *Sylvester normalizing flows for variational inference*, §4.1 (where columns
    are made orthonormal by iteration; a QR decomposition is as exact for every matrix).

    Arguments:
        columns: M.

    Raises:
        SettingError: if there are more columns than dimensions.

    Example:
        >>> q = Orthogonal(2)(torch.randn(6), 3)
        >>> torch.allclose(q.mT @ q, torch.eye(2), atol=1e-6)
        True
    """

    def __init__(self, columns: int = 8) -> None:
        check_whole("columns", columns)
        self.columns = columns

    def rank(self, features: int) -> int:
        if self.columns > features:
            raise SettingError(
                f"got columns={self.columns} with {features} features; expected at most as many columns as features"
            )
        return self.columns

    def size(self, features: int) -> int:
        return features * self.columns

    def __call__(self, numbers: Tensor, features: int) -> Tensor:
        q: Tensor = torch.linalg.qr(numbers.unflatten(-1, (features, self.columns)))[0]
        return q


@part
class Householder(Basis):
    r"""A square Q = Π_h (I − 2 v_h v_hᵀ/‖v_h‖²).

    Reference: van den Berg et al. (2018), *Sylvester normalizing flows for variational inference*, §4.2.

    Arguments:
        reflections: Number H of vectors v.

    Example:
        >>> q = Householder(2)(torch.randn(6), 3)
        >>> torch.allclose(q.mT @ q, torch.eye(3), atol=1e-6)
        True
    """

    def __init__(self, reflections: int = 8) -> None:
        check_whole("reflections", reflections)
        self.reflections = reflections

    def rank(self, features: int) -> int:
        return features

    def size(self, features: int) -> int:
        return features * self.reflections

    def __call__(self, numbers: Tensor, features: int) -> Tensor:
        v = numbers.unflatten(-1, (self.reflections, features))
        v = v * (v.square().sum(-1, keepdim=True) + TINY).rsqrt()
        q = torch.eye(features, dtype=v.dtype, device=v.device)
        for each in v.unbind(-2):
            q = q - 2 * (q * each[..., None, :]).sum(-1, keepdim=True) * each[..., None, :]
        return q


@part
class Triangular(Basis):
    r"""Q = I, or the matrix that reverses the order of the dimensions: nothing of it depends on h.

    Reference: van den Berg et al. (2018), *Sylvester normalizing flows for variational inference*, §4.3 (steps
    alternate between the two).

    Arguments:
        flipped: Reverse the order.

    Example:
        >>> Triangular(flipped=True)(torch.zeros(0), 2)
        tensor([[0., 1.],
                [1., 0.]])
    """

    def __init__(self, *, flipped: bool = False) -> None:
        self.flipped = flipped

    def rank(self, features: int) -> int:
        return features

    def size(self, features: int) -> int:
        return 0

    def __call__(self, numbers: Tensor, features: int) -> Tensor:
        eye = torch.eye(features, dtype=numbers.dtype, device=numbers.device)
        return eye.flip(0) if self.flipped else eye
