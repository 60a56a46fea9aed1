"""Standardisation as a layer, so that data keep their units everywhere else."""

from __future__ import annotations

__all__ = ["Standardize", "affine"]

import torch
from torch import Tensor, nn


def affine(value: float | tuple[float, ...], event_shape: tuple[int, ...]) -> Tensor:
    """One number, or one for each of the flattened dimensions, as a tensor that broadcasts against the event shape."""
    t = torch.tensor(value, dtype=torch.get_default_dtype())
    return t.reshape(event_shape) if t.dim() else t


class Standardize(nn.Module):
    r"""x ↦ (x − offset) / scale.

    Arguments:
        event_shape: Shape of one example.
        offset: One number, or one for each of the flattened dimensions, in the data's units.
        scale: Likewise, positive.

    Example:
        >>> Standardize((2,), offset=(1.0, 2.0), scale=2.0)(torch.tensor([[1.0, 4.0]]))
        tensor([[0., 1.]])
    """

    offset: Tensor
    scale: Tensor

    def __init__(
        self,
        event_shape: tuple[int, ...],
        offset: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
    ) -> None:
        super().__init__()
        self.register_buffer("offset", affine(offset, event_shape), persistent=False)
        self.register_buffer("scale", affine(scale, event_shape), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.offset) / self.scale
