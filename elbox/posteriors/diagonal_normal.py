"""The diagonal normal posterior."""

from __future__ import annotations

__all__ = ["DiagonalNormal"]

from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal, soft_clip
from elbox.errors import ShapeError
from elbox.parts import part


@part
class DiagonalNormal(LazyDistribution):
    r"""q(z|x) = N(z; μ(x), diag σ²(x)), reparameterised as z = μ + σ ⊙ ε with ε ~ N(0, I).

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, eq. 9 and 10.

    Arguments:
        net: Network with output shape `DiagonalNormal.output_shape(latent)`: μ, then s with σ = exp(soft_clip(s)).
        latent: Dimension D of z.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> q = DiagonalNormal(MLP(5, [8], DiagonalNormal.output_shape(2)), 2)
        >>> q(torch.zeros(3, 5)).rsample().shape
        torch.Size([3, 2])
    """

    def __init__(self, net: nn.Module, latent: int) -> None:
        super().__init__()
        self.net, self.latent = net, latent

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (2, D)."""
        return (2, latent)

    def forward(self, c: Any = None) -> Distribution:
        mean, log_scale = mean_and_scale(self.net, c, self.latent, "DiagonalNormal")
        return diagonal_normal(mean, soft_clip(log_scale).exp())


def mean_and_scale(net: nn.Module, c: Any, latent: int, who: str) -> tuple[Tensor, Tensor]:
    """The two rows of a network's output, [..., D] each, of what will be a mean and, by some map, a scale.

    Arguments:
        net: Network with output shape (2, D).
        c: Its input.
        latent: D.
        who: Name of the posterior, for the message.

    Raises:
        ShapeError: if the network's output has another shape.
    """
    h = net(c)
    if h.shape[-2:] != (2, latent):
        raise ShapeError(
            f"got a network output of shape {tuple(h.shape)} for {who}; expected its last dimensions to be "
            f"{(2, latent)}: make the network with {who}.output_shape({latent})"
        )
    mean, scale = h.unbind(-2)
    return mean, scale
