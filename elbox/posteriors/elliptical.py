"""What the posteriors with a full covariance matrix share: the network's output as location and Cholesky factor."""

from __future__ import annotations

__all__ = ["Elliptical"]

from typing import Any

import torch
from torch import Tensor, nn
from zuko.lazy import LazyDistribution

from elbox.distributions import soft_clip
from elbox.errors import ShapeError


class Elliptical(LazyDistribution):
    r"""Base of posteriors with location μ(x) and Cholesky factor L = L_mask ⊙ L' + diag σ.

    L_mask is 1 strictly below the diagonal, so log|det L| = Σ_d log σ_d.
    """

    mask: Tensor

    def __init__(self, net: nn.Module, latent: int) -> None:
        super().__init__()
        self.net, self.latent = net, latent
        self.register_buffer("mask", torch.ones(latent, latent).tril(-1), persistent=False)

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (2 + D, D)."""
        return (2 + latent, latent)

    def located(self, c: Any) -> tuple[Tensor, Tensor]:
        """μ [B, D] and L [B, D, D]."""
        h, name = self.net(c), type(self).__name__
        if h.shape[-2:] != self.output_shape(self.latent):
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for {name}; expected its last dimensions to be "
                f"{self.output_shape(self.latent)}: make the network with {name}.output_shape({self.latent})"
            )
        mean, log_scale, lower = h[..., 0, :], h[..., 1, :], h[..., 2:, :]
        return mean, self.mask * lower + torch.diag_embed(soft_clip(log_scale).exp())
