"""A sparse posterior: each number is about 0, or not."""

from __future__ import annotations

__all__ = ["SpikeSlab"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution, Independent
from zuko.lazy import LazyDistribution

from elbox.distributions import SpikeSlab as SpikeSlabDistribution
from elbox.distributions import soft_clip
from elbox.errors import ShapeError, check_number
from elbox.parts import part


@part
class SpikeSlab(LazyDistribution):
    r"""q(z|x) = Π_d [ γ_d(x) N(z_d; μ_d(x), σ_d²(x)) + (1 − γ_d(x)) N(z_d; 0, τ²) ], reparameterised implicitly.

    Reference: Tonolini, Jensen & Murray-Smith (2019), *Variational sparse coding* (there with a point mass at 0); see
    `elbox.distributions.SpikeSlab`.

    Arguments:
        net: Network with output shape `SpikeSlab.output_shape(latent)`: the logits of γ, then μ, then s with
            σ = exp(soft_clip(s)).
        latent: Dimension D of z.
        spike: τ, the same as the prior's.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if τ is not positive.
        ShapeError: if the network's output has another shape.

    Example:
        >>> from elbox.nn import MLP
        >>> q = SpikeSlab(MLP(5, [8], SpikeSlab.output_shape(2)), 2)
        >>> q(torch.zeros(3, 5)).rsample().shape
        torch.Size([3, 2])
    """

    def __init__(self, net: nn.Module, latent: int, spike: float = 0.05) -> None:
        super().__init__()
        check_number("spike", spike, positive=True)
        self.net, self.latent, self.spike = net, latent, spike

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (3, D)."""
        return (3, latent)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        if h.shape[-2:] != self.output_shape(self.latent):
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for SpikeSlab; expected its last dimensions to be "
                f"{self.output_shape(self.latent)}: make the network with SpikeSlab.output_shape({self.latent})"
            )
        logits, mean, log_scale = h.unbind(-2)
        spike = torch.full_like(mean, self.spike)
        one = SpikeSlabDistribution(soft_clip(logits), mean, soft_clip(log_scale).exp(), spike)
        return Independent(one, 1, validate_args=False)
