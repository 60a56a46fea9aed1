"""No encoder: codes are draws of the prior, whatever x is."""

from __future__ import annotations

__all__ = ["FromPrior"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.parts import part


@part
class FromPrior(LazyDistribution):
    r"""q(z|x) = p(z): the posterior of a model without an encoder, such as a GAN.

    Its rate is 0, its ELBO E_{p(z)}[log p(x|z)], and log (1/K) Σ_k p(x|z_k) with draws of the prior the plain
    Monte-Carlo estimate of log p(x), which takes very many draws.

    Reference: Goodfellow et al. (2014), *Generative adversarial nets*, §5 (with a normal p(x|z), the kernel density
    estimate by which they measure a GAN).

    Arguments:
        prior: The model's prior, the same object.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Example:
        >>> from elbox.priors import StandardNormal
        >>> FromPrior(StandardNormal(2))(torch.zeros(3, 5)).mean.shape
        torch.Size([3, 2])
    """

    def __init__(self, prior: LazyDistribution) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, c: Any = None) -> Distribution:
        x, condition = c if isinstance(c, tuple) else (c, None)
        assert isinstance(x, Tensor)
        return self.prior(condition).expand(torch.Size([len(x)]))
