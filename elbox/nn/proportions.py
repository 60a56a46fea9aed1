"""A network that reads its input as proportions."""

from __future__ import annotations

__all__ = ["Proportions"]

import torch
from torch import Tensor, nn

from elbox.parts import part


@part
class Proportions(nn.Module):
    r"""net(softmax(z)): the decoder of a topic model, to which z are the logits of its topics' proportions.

    Reference: Srivastava & Sutton (2017), *Autoencoding variational inference for topic models*.

    Arguments:
        net: Network of the proportions.

    Shapes:
        input [..., K] → output of the network.

    Example:
        >>> from elbox.nn import MLP
        >>> Proportions(MLP(3, [], 5))(torch.zeros(7, 3)).shape
        torch.Size([7, 5])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        return self.net(torch.softmax(z, -1))
