"""A mixture of diagonal normals as prior."""

from __future__ import annotations

__all__ = ["NormalMixture"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Categorical, Distribution, MixtureSameFamily
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal, soft_clip
from elbox.errors import check_whole
from elbox.parts import part


@part
class NormalMixture(LazyDistribution):
    r"""p(z) = Σ_m π_m N(z; μ_m, diag σ_m²) with learned π, μ, σ; means start as draws of N(0, I), scales at 1.

    Reference: Tomczak & Welling (2018), *VAE with a VampPrior*, §2 (the mixture-of-Gaussians prior of its experiments).

    Arguments:
        latent: Dimension D of z.
        components: Number of components M.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Example:
        >>> NormalMixture(2, components=5)().sample((3,)).shape
        torch.Size([3, 2])
    """

    def __init__(self, latent: int, components: int = 10) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_whole("components", components)
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, latent))
        self.log_scales = nn.Parameter(torch.zeros(components, latent))

    def forward(self, c: Any = None) -> Distribution:
        weights = Categorical(logits=self.logits, validate_args=False)
        normals = diagonal_normal(self.means, soft_clip(self.log_scales).exp())
        return MixtureSameFamily(weights, normals, validate_args=False)
