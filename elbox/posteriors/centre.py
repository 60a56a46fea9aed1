"""The centre of another posterior, as a deterministic code."""

from __future__ import annotations

__all__ = ["Centre"]

from typing import Any

from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import Delta
from elbox.distributions.support import centre
from elbox.errors import IncompatibleError
from elbox.parts import part


@part
class Centre(LazyDistribution):
    r"""q(z|x) = δ(z − E_q'[z|x]): the means of another posterior q', without its noise.

    With it the networks of a VAE are trained as an autoencoder first, so that its codes are there to be clustered.

    Reference: Jiang et al. (2017), *Variational deep embedding* (the networks are pretrained as an autoencoder).

    Arguments:
        posterior: q'(z|x), one with a mean; the same object as in the VAE.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        IncompatibleError: if no formula for the mean is known, as for a flow.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> q = DiagonalNormal(MLP(5, [8], (2, 2)), 2)
        >>> torch.equal(Centre(q)(torch.ones(3, 5)).mean, q(torch.ones(3, 5)).mean)
        True
    """

    deterministic = True

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, c: Any = None) -> Distribution:
        mean = centre(self.posterior(c))
        if mean is None:
            raise IncompatibleError(
                f"got the centre of a {type(self.posterior).__name__} posterior, for whose mean no formula is known; "
                "use a DiagonalNormal posterior"
            )
        return Delta(mean)
