"""A posterior over binary codes."""

from __future__ import annotations

__all__ = ["BernoulliCode"]

from typing import Any

from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import Bits
from elbox.errors import ShapeError
from elbox.parts import part


@part
class BernoulliCode(LazyDistribution):
    r"""q(z|x) = Π_d Bernoulli(z_d; σ(net(x)_d)): D independent bits, the hidden units of a sigmoid belief network.

    Reference: Mnih & Gregor (2014), *Neural variational inference and learning in belief networks*, §2.

    Arguments:
        net: Network with output shape `BernoulliCode.output_shape(latent)`: the logits.
        latent: Number of bits D.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> BernoulliCode(MLP(5, [8], 3), 3)(torch.zeros(2, 5)).codes().shape
        torch.Size([8, 3])
    """

    def __init__(self, net: nn.Module, latent: int) -> None:
        super().__init__()
        self.net, self.latent = net, latent

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (D,)."""
        return (latent,)

    def forward(self, c: Any = None) -> Distribution:
        logits = self.net(c)
        if logits.shape[-1:] != self.output_shape(self.latent):
            raise ShapeError(
                f"got a network output of shape {tuple(logits.shape)} for BernoulliCode; expected its last dimension "
                f"to be {self.latent}: make the network with BernoulliCode.output_shape({self.latent})"
            )
        return Bits(logits, 1)
