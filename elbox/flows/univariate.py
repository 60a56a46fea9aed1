"""What an autoregressive or coupling step does with one dimension, given parameters that depend on the others."""

from __future__ import annotations

__all__ = ["Univariate"]

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import nn


class Univariate(nn.Module, ABC):
    r"""A family of increasing functions y = f(x; φ) of one dimension.

    A subclass says in `shapes` what φ is made of, and its `forward(*φ)`, with parameters of shape [..., D, *shape],
    returns the transform.
    """

    @property
    @abstractmethod
    def shapes(self) -> Sequence[tuple[int, ...]]:
        """The shapes of the parameters of one dimension, () for a number."""
