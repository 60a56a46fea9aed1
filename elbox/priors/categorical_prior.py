"""A factorised prior over categorical codes."""

from __future__ import annotations

__all__ = ["CategoricalPrior"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import OneHots
from elbox.errors import check_whole
from elbox.parts import part


@part
class CategoricalPrior(LazyDistribution):
    r"""p(z) = Π_g Categorical(z_g; softmax(l_g)): G independent one-hot vectors of C categories, uniform by default.

    Reference: Jang, Gu & Poole (2017), *Categorical reparameterization with Gumbel-softmax*, §4.2 (learned).

    Arguments:
        groups: Number of categorical variables G.
        categories: Number of categories C ≥ 2 of each.
        learned: Learn l, from the uniform prior on.

    Shapes:
        forward(c) → distribution over [G·C]; a condition c is ignored.

    Example:
        >>> CategoricalPrior(2, 3)().log_prob(torch.tensor([1.0, 0, 0, 0, 0, 1]))
        tensor(-2.1972)
    """

    logits: Tensor

    def __init__(self, groups: int, categories: int, *, learned: bool = False) -> None:
        super().__init__()
        check_whole("groups", groups)
        check_whole("categories", categories, 2)
        self.categories = categories
        if learned:
            self.logits = nn.Parameter(torch.zeros(groups * categories))
        else:
            self.register_buffer("logits", torch.zeros(groups * categories), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        return OneHots(self.logits, self.categories)
