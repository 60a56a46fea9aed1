"""A network of some of the columns of its input."""

from __future__ import annotations

__all__ = ["Columns"]

from torch import Tensor, nn

from elbox.errors import SettingError, check_whole
from elbox.parts import part


@part
class Columns(nn.Module):
    r"""net(x_first, …, x_{last−1}): the encoder of one of several views that lie side by side in x.

    Reference: Wu & Goodman (2018), *Multimodal generative models for scalable weakly-supervised learning* (one
    inference network for each modality).

    Arguments:
        net: Network of these columns.
        first: The first column, counted from 0.
        last: The column behind the last one.

    Shapes:
        input [..., D] → output of the network for [..., last − first].

    Raises:
        SettingError: if there are no such columns.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> Columns(MLP(2, [], 3), 1, 3)(torch.zeros(7, 5)).shape
        torch.Size([7, 3])
    """

    def __init__(self, net: nn.Module, first: int, last: int) -> None:
        super().__init__()
        check_whole("first", first, 0)
        check_whole("last", last)
        if last <= first:
            raise SettingError(f"got first={first}, last={last}; expected first < last")
        self.net, self.first, self.last = net, first, last

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x[..., self.first : self.last])
