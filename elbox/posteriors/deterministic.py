"""The deterministic code of a plain autoencoder."""

from __future__ import annotations

__all__ = ["Deterministic"]

from typing import Any

from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import Delta
from elbox.errors import ShapeError
from elbox.parts import part


@part
class Deterministic(LazyDistribution):
    r"""q(z|x) = δ(z − f(x)): the code of an autoencoder, for comparison with a VAE.

    It has no density, so there is no rate and no bound on log p(x). With a prior, to which a penalty may pull the codes
    or which `elbox.fit_prior` fits to them, the model can be sampled; with `prior=None` it is a plain autoencoder.

    Reference: Hinton & Salakhutdinov (2006), *Reducing the dimensionality of data with neural networks*.

    Arguments:
        net: Network f with output shape `Deterministic.output_shape(latent)`.
        latent: Dimension D of z.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> Deterministic(MLP(5, [8], 2), 2)(torch.zeros(3, 5)).mean.shape
        torch.Size([3, 2])
    """

    deterministic = True

    def __init__(self, net: nn.Module, latent: int) -> None:
        super().__init__()
        self.net, self.latent = net, latent

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (D,)."""
        return (latent,)

    def forward(self, c: Any = None) -> Distribution:
        z = self.net(c)
        if z.shape[-1:] != self.output_shape(self.latent):
            raise ShapeError(
                f"got a network output of shape {tuple(z.shape)} for Deterministic; expected its last dimension to be "
                f"{self.latent}: make the network with Deterministic.output_shape({self.latent})"
            )
        return Delta(z)
