"""The product of a matrix and a code, in the precision of the code."""

from __future__ import annotations

__all__ = ["times"]

from torch import Tensor


def times(matrix: Tensor, x: Tensor) -> Tensor:
    """A x, as a sum: a product of matrices would be rounded where products are taken in half precision, and z would no
    longer be what its log-determinant says.

    Arguments:
        matrix: A, [..., M, D].
        x: [..., D].

    Example:
        >>> import torch
        >>> times(torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.tensor([1.0, 1.0]))
        tensor([3., 3.])
    """
    product: Tensor = (matrix * x[..., None, :]).sum(-1)
    return product
