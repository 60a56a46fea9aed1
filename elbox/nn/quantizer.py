"""What maps vectors to codes and codes to vectors."""

from __future__ import annotations

__all__ = ["Quantizer"]

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Quantizer(nn.Module, ABC):
    """A finite set of vectors for each of P positions, the same set for all; z is flat, its L levels side by side.

    Attributes:
        size: Number K of codes of each level.
        depth: Number L of levels, whose vectors add up to what was quantised.
        width: Dimension d of the vector at one position.
    """

    size: int
    depth: int
    width: int

    def agrees(self, other: Quantizer) -> bool:
        """Whether the other has the same vectors for the same codes, whatever is learned."""
        return self is other

    @abstractmethod
    def quantize(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """z_e [..., P, d] and its codes [..., P, L] for h [..., P, d]; only z_e carries a gradient."""

    @abstractmethod
    def forward(self, codes: Tensor) -> Tensor:
        """z [..., L·P·d] of codes [..., P, L]."""

    @abstractmethod
    def codes(self, z: Tensor) -> Tensor:
        """The codes [..., P, L] of z [..., L·P·d]; of vectors that have none, any."""
