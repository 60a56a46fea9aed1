"""The posterior with heavy tails and a full covariance matrix."""

from __future__ import annotations

__all__ = ["FullStudentT"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution

from elbox.distributions import MultivariateStudentT
from elbox.errors import SettingError
from elbox.parts import part
from elbox.posteriors.elliptical import Elliptical


@part
class FullStudentT(Elliptical):
    r"""q(z|x) = t_ν(z; μ(x), L(x)L(x)ᵀ), reparameterised as z = μ + √(ν/w) L ε with ε ~ N(0, I) and w ~ χ²(ν).

    The elliptical relative of `FullNormal`, with the same L = L_mask ⊙ L' + diag σ; it is that for ν → ∞. Its heavy
    tails keep importance weights bounded where a normal posterior is too narrow.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2.4, approach 2 (elliptical families);
    Kingma & Welling (2019), *An introduction to variational autoencoders*, §2.5.1 (the factor L).

    Arguments:
        net: Network with output shape `FullStudentT.output_shape(latent)`: μ, s with σ = exp(soft_clip(s)), and L' row
            by row.
        latent: Dimension D of z.
        df: Degrees of freedom ν > 2.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if `df` is at most 2, where the variance is infinite.
        ShapeError: if the network's output has another shape.

    Example:
        >>> from elbox.nn import MLP
        >>> q = FullStudentT(MLP(5, [8], FullStudentT.output_shape(3)), 3, df=4.0)
        >>> q(torch.zeros(2, 5)).scale_tril.shape
        torch.Size([2, 3, 3])
    """

    def __init__(self, net: nn.Module, latent: int, df: float = 5.0) -> None:
        super().__init__(net, latent)
        if not df > 2:
            raise SettingError(f"got df={df}; expected more than 2 degrees of freedom, for a finite variance")
        self.df = df

    def forward(self, c: Any = None) -> Distribution:
        mean, cholesky = self.located(c)
        return MultivariateStudentT(torch.full_like(mean[..., 0], self.df), mean, cholesky)
