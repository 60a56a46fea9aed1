"""A network of a sum of vectors that come side by side."""

from __future__ import annotations

__all__ = ["Summed"]

from torch import Tensor, nn

from elbox.errors import check_whole
from elbox.parts import part


@part
class Summed(nn.Module):
    r"""net(Σ_l z_l) for z = (z_1, …, z_L) side by side: how a decoder reads the levels of a residual quantiser.

    Reference: Zeghidour et al. (2021), *SoundStream*, §III-C (the decoder reads the sum over levels).

    Arguments:
        net: Network of vectors of dimension D/L.
        terms: Number L of vectors that are added up.

    Shapes:
        input [..., D] → output of `net`.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> Summed(MLP(4, [], 5), 3)(torch.zeros(2, 12)).shape
        torch.Size([2, 5])
    """

    def __init__(self, net: nn.Module, terms: int) -> None:
        super().__init__()
        check_whole("terms", terms)
        self.net, self.terms = net, terms

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z.unflatten(-1, (self.terms, -1)).sum(-2))
