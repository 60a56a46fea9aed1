"""The logistic-normal prior of topic models, close to a Dirichlet."""

from __future__ import annotations

__all__ = ["LogisticNormal"]

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal
from elbox.errors import SettingError, check_whole
from elbox.parts import part


@part
class LogisticNormal(LazyDistribution):
    r"""p(z) = N(z; μ, diag σ²) under which softmax(z) is about Dirichlet(α), by Laplace's approximation:

        μ_k = log α_k − 1/K Σ_j log α_j,      σ_k² = 1/α_k (1 − 2/K) + 1/K² Σ_j 1/α_j.

    z is real, so that any real posterior goes with it, with a closed-form KL for normal ones; the decoder takes
    softmax(z) (`elbox.nn.Proportions`). A Dirichlet itself, for posteriors on the simplex, is
    `Factorized(latent, Dirichlet)`.

    Reference: Srivastava & Sutton (2017), *Autoencoding variational inference for topic models* (the section on
    the Laplace approximation of the Dirichlet, after MacKay, 1998).

    Arguments:
        latent: Number K ≥ 2 of topics, the dimension of z.
        concentration: α > 0, one number or K of them.

    Shapes:
        forward(c) → distribution over [K]; a condition c is ignored.

    Raises:
        SettingError: if there are too few topics, or a concentration is not positive.

    Example:
        >>> p = LogisticNormal(50, concentration=0.02)()
        >>> p.mean[0], p.variance[0]
        (tensor(0.), tensor(49.))
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, latent: int, concentration: float | Sequence[float] = 1.0) -> None:
        super().__init__()
        check_whole("latent", latent, 2)
        alpha = torch.as_tensor(concentration, dtype=torch.float64)
        if alpha.dim() > 1 or alpha.numel() not in (1, latent) or not bool((alpha > 0).all()):
            raise SettingError(f"got concentration={concentration}; expected 1 or {latent} numbers > 0")
        alpha = alpha.expand(latent)
        variance = (1 - 2 / latent) / alpha + (1 / alpha).sum() / latent**2
        to = torch.get_default_dtype()
        self.register_buffer("mean", (alpha.log() - alpha.log().mean()).to(to), persistent=False)
        self.register_buffer("scale", variance.sqrt().to(to), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        return diagonal_normal(self.mean, self.scale)
