"""The normal posterior with a full covariance matrix."""

from __future__ import annotations

__all__ = ["FullNormal"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal
from zuko.lazy import LazyDistribution

from elbox.distributions import soft_clip
from elbox.errors import ShapeError
from elbox.parts import part


@part
class FullNormal(LazyDistribution):
    r"""q(z|x) = N(z; μ(x), L(x)L(x)ᵀ) with the Cholesky factor L = L_mask ⊙ L' + diag σ, z = μ + Lε.

    L_mask is 1 strictly below the diagonal, so log|det L| = Σ_d log σ_d.

    Reference: Kingma & Welling (2019), *An introduction to variational autoencoders*, §2.5.1 and algorithm 2.

    Arguments:
        net: Network with output shape `FullNormal.output_shape(latent)`: μ, s with σ = exp(soft_clip(s)), and L' row
            by row.
        latent: Dimension D of z.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> from elbox.nn import MLP
        >>> q = FullNormal(MLP(5, [8], FullNormal.output_shape(3)), 3)
        >>> q(torch.zeros(2, 5)).covariance_matrix.shape
        torch.Size([2, 3, 3])
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

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        if h.shape[-2:] != self.output_shape(self.latent):
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for FullNormal; expected its last dimensions to be "
                f"{self.output_shape(self.latent)}: make the network with FullNormal.output_shape({self.latent})"
            )
        mean, log_scale, lower = h[..., 0, :], h[..., 1, :], h[..., 2:, :]
        cholesky = self.mask * lower + torch.diag_embed(soft_clip(log_scale).exp())
        return MultivariateNormal(mean, scale_tril=cholesky, validate_args=False)
