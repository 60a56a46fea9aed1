"""A prior of codes that are first brought to mean 0 and variance 1."""

from __future__ import annotations

__all__ = ["Standardized"]

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Distribution, TransformedDistribution
from zuko.lazy import LazyDistribution

from elbox.distributions.support import real
from elbox.errors import DataError, IncompatibleError, check_whole
from elbox.parts import part
from elbox.priors.learning import learning_loss


@part
class Standardized(LazyDistribution):
    r"""p(z) = p₀((z − m) / s) / Π_d s_d, with m and s the mean and standard deviation of codes.

    `elbox.fit_prior` takes m and s from codes before it trains p₀; they are 0 and 1 until then. Whatever units the
    codes have, networks of p₀ then see numbers of order one.

    Reference: Rombach et al. (2022), *High-resolution image synthesis with latent diffusion models* (codes are rescaled
    to unit variance before they are diffused).

    Arguments:
        prior: p₀, over real numbers.
        latent: Dimension D of z.

    Shapes:
        forward(c) → distribution over [D].

    Raises:
        IncompatibleError: if p₀ is not over real numbers.

    Example:
        >>> from elbox.priors import StandardNormal
        >>> prior = Standardized(StandardNormal(1), 1)
        >>> prior.start(torch.empty(2, 7), lambda: torch.tensor([[1.0], [5.0]]))
        >>> prior().log_prob(torch.tensor([3.0]))
        tensor(-1.6121)
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, prior: nn.Module, latent: int) -> None:
        super().__init__()
        check_whole("latent", latent)
        self.prior = prior
        self.register_buffer("offset", torch.zeros(latent))
        self.register_buffer("scale", torch.ones(latent))

    def forward(self, c: Any = None) -> Distribution:
        p = self.prior(c)
        if not torch.compiler.is_compiling() and not real(p):
            raise IncompatibleError(
                f"got Standardized({type(self.prior).__name__}), which is not over real numbers; use the prior as it is"
            )
        return TransformedDistribution(p, AffineTransform(self.offset, self.scale, event_dim=1), validate_args=False)

    def loss(self, z: Tensor, c: Any = None) -> Tensor:
        """What is minimised in training p₀: its own loss of standardised codes [..., D], in the units of z."""
        return learning_loss(self.prior, (z - self.offset) / self.scale, c) + self.scale.log().sum()

    @torch.no_grad()
    def start(self, x: Tensor, codes: Callable[[], Tensor], seed: int = 0) -> None:
        """Take m and s from codes; a dimension that does not vary keeps its scale.

        Arguments:
            x: Training examples [N, *event], for p₀ if it starts from data too.
            codes: Encodes them, [N, D].
            seed: Seed of what p₀ draws.

        Raises:
            DataError: if a code is not finite.
        """
        z = codes()
        if not z.isfinite().all():
            raise DataError(
                "got codes that are not all finite; expected finite ones: train again with a lower lr, or clip=1"
            )
        offset, spread = z.mean(0), z.std(0, correction=0)
        scale = torch.where(spread > 0, spread, torch.ones_like(spread))
        self.offset.copy_(offset)
        self.scale.copy_(scale)
        if hasattr(self.prior, "start"):
            self.prior.start(x, lambda: (z - offset) / scale, seed)  # type: ignore[operator]
