"""A posterior over categorical codes."""

from __future__ import annotations

__all__ = ["CategoricalCode"]

from typing import Any

from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import OneHots
from elbox.errors import ShapeError
from elbox.parts import part


@part
class CategoricalCode(LazyDistribution):
    r"""q(z|x) = Π_g Categorical(z_g; softmax(net(x)_g)): G independent one-hot vectors of C categories, flattened.

    Reference: Jang, Gu & Poole (2017), *Categorical reparameterization with Gumbel-softmax*, §4.2 (20 variables of 10
    categories).

    Arguments:
        net: Network with output shape `CategoricalCode.output_shape(groups, categories)`: the logits.
        groups: Number of categorical variables G.
        categories: Number of categories C ≥ 2 of each.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [G·C].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> CategoricalCode(MLP(5, [8], (2, 3)), groups=2, categories=3)(torch.zeros(4, 5)).sample().shape
        torch.Size([4, 6])
    """

    def __init__(self, net: nn.Module, groups: int, categories: int) -> None:
        super().__init__()
        self.net, self.groups, self.categories = net, groups, categories

    @staticmethod
    def output_shape(groups: int, categories: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (G, C)."""
        return (groups, categories)

    def forward(self, c: Any = None) -> Distribution:
        logits = self.net(c)
        if logits.shape[-2:] != self.output_shape(self.groups, self.categories):
            raise ShapeError(
                f"got a network output of shape {tuple(logits.shape)} for CategoricalCode; expected its last "
                f"dimensions to be {(self.groups, self.categories)}: make the network with "
                f"CategoricalCode.output_shape({self.groups}, {self.categories})"
            )
        return OneHots(logits.flatten(-2), self.categories)
