"""The normal posterior with a full covariance matrix."""

from __future__ import annotations

__all__ = ["FullNormal"]

from typing import Any

from torch.distributions import Distribution

from elbox.distributions import MultivariateNormal
from elbox.parts import part
from elbox.posteriors.elliptical import Elliptical


@part
class FullNormal(Elliptical):
    r"""q(z|x) = N(z; μ(x), L(x)L(x)ᵀ) with the Cholesky factor L = L_mask ⊙ L' + diag σ, z = μ + Lε.

    L_mask is 1 strictly below the diagonal, so log|det L| = Σ_d log σ_d. L' is not bounded: draws are scored by their
    ε (`elbox.distributions.Elliptical`), so that no L costs digits of log q(z|x). Far from the true posterior the
    gradient of `Path`, in which L⁻ᵀε stands, is noisy; `Reparameterized` and `AnalyticKL` train L better from scratch.

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
        >>> import torch
        >>> from elbox.nn import MLP
        >>> q = FullNormal(MLP(5, [8], FullNormal.output_shape(3)), 3)
        >>> q(torch.zeros(2, 5)).covariance_matrix.shape
        torch.Size([2, 3, 3])
    """

    def forward(self, c: Any = None) -> Distribution:
        mean, cholesky = self.located(c)
        return MultivariateNormal(mean, scale_tril=cholesky, validate_args=False)
