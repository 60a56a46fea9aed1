"""Logarithms of counts as a layer before a network."""

from __future__ import annotations

__all__ = ["LogCounts"]

from typing import Any

import torch
from torch import Tensor, nn

from elbox.parts import part


@part
class LogCounts(nn.Module):
    r"""x ↦ net(log(1 + x)): an encoder sees counts of 1, 10 and 1000 as numbers of one size.

    Reference: Lopez et al. (2018), *Deep generative modeling for single-cell transcriptomics*, Methods (there for
    numerical stability; `log_variational` in scvi-tools).

    Arguments:
        net: Network that takes x, or a pair (x, c).

    Shapes:
        input x ≥ 0 [..., *event], or (x, c) of which c passes as it is → output of the network.

    Example:
        >>> from elbox.nn import MLP
        >>> LogCounts(MLP(3, [4], 2))(torch.tensor([[0.0, 10.0, 1000.0]])).shape
        torch.Size([1, 2])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Tensor:
        return self.net((torch.log1p(x[0]), *x[1:]) if isinstance(x, tuple) else torch.log1p(x))
