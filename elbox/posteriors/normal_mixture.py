"""A posterior with several peaks."""

from __future__ import annotations

__all__ = ["NormalMixture"]

from typing import Any

from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import NormalMixture as Mixture
from elbox.distributions import soft_clip
from elbox.errors import ShapeError
from elbox.parts import part


@part
class NormalMixture(LazyDistribution):
    r"""q(z|x) = Σ_m π_m(x) N(z; μ_m(x), diag σ_m²(x)), reparameterised implicitly.

    See `elbox.distributions.NormalMixture`. The component is summed out of log q(z|x); `elbox.models.GMVAE` keeps it as
    a latent variable. Gradients of the weights are noisy where components lie far apart; the more samples, the better.

    Reference: Graves (2016), *Stochastic backpropagation through mixture density distributions*.

    Arguments:
        net: Network with output shape `NormalMixture.output_shape(latent, components)`: for each component the logit of
            π, then μ, then s with σ = exp(soft_clip(s)).
        latent: Dimension D of z.
        components: Number of components M.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> q = NormalMixture(MLP(5, [8], NormalMixture.output_shape(2, 3)), 2, 3)
        >>> q(torch.zeros(4, 5)).rsample().shape
        torch.Size([4, 2])
    """

    def __init__(self, net: nn.Module, latent: int, components: int = 5) -> None:
        super().__init__()
        self.net, self.latent, self.components = net, latent, components

    @staticmethod
    def output_shape(latent: int, components: int = 5) -> tuple[int, ...]:
        """The shape that the network's output must have: (M, 1 + 2 D)."""
        return (components, 1 + 2 * latent)

    def forward(self, c: Any = None) -> Distribution:
        h, shape = self.net(c), self.output_shape(self.latent, self.components)
        if h.shape[-2:] != shape:
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for NormalMixture; expected its last dimensions to be "
                f"{shape}: make the network with NormalMixture.output_shape({self.latent}, {self.components})"
            )
        mean, log_scale = h[..., 1:].chunk(2, -1)
        return Mixture(h[..., 0], mean, soft_clip(log_scale).exp())
