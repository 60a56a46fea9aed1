"""A mixture over training examples as prior."""

from __future__ import annotations

__all__ = ["ExemplarPrior"]

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import NormalMixture, soft_clip
from elbox.distributions.support import centre
from elbox.errors import DataError, IncompatibleError, check_whole
from elbox.parts import part

TOGETHER = 1000  # exemplars that are encoded at once


@part
class ExemplarPrior(LazyDistribution):
    r"""p(z) = 1/N Σ_n N(z; μ(x_n), s² I): a normal of one learned width s around the posterior mean of each exemplar.

    In training each step encodes M of the N exemplars, drawn anew, and takes their mixture p_M for p: as E[p_M] = p,
    the bound is on average below that with p (Jensen). The paper leaves each example out of its own prior, by its
    number; here it is among the M drawn with probability M/N only: keep M/N small. In evaluation the density is that of
    all N means, which are computed when the model enters evaluation mode and are saved with it; the exemplars are not.

    The paper can also restrict the M to those nearest to z. As an example is nearest to itself, that needs the exact
    leaving out, and is not done here.

    Reference: Norouzi, Fleet & Norouzi (2020), *Exemplar VAE: linking generative models, nearest neighbor retrieval,
    and data augmentation* (Parzen prior, exemplar subsampling).

    Arguments:
        posterior: q(z|x), the model's own, with a mean.
        latent: Dimension D of z.
        event_shape: Shape of one example.
        examples: Number N of exemplars, which `elbox.fit` draws from the training data (`start`).
        components: Number M of exemplars in a step.

    Shapes:
        forward() → distribution over [D].

    Raises:
        IncompatibleError: if there is a condition, or no formula for the posterior's mean.

    Example:
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> prior = ExemplarPrior(DiagonalNormal(MLP(5, [8], (2, 2)), 2), 2, (5,), examples=100, components=10)
        >>> prior.remember(torch.randn(100, 5))
        >>> prior().mean.shape, len(prior().loc), len(prior.eval()().loc)
        (torch.Size([2]), 10, 100)
    """

    codes: Tensor
    exemplars: Tensor

    def __init__(
        self, posterior: nn.Module, latent: int, event_shape: Sequence[int], examples: int, components: int = 500
    ) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_whole("examples", examples, hint=": make the recipe with the data's own spec, or give examples=N")
        check_whole("components", components)
        self.posterior, self.components = posterior, min(components, examples)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("codes", torch.randn(examples, latent))
        self.register_buffer("exemplars", torch.zeros(0, *event_shape), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        if c is not None:
            raise IncompatibleError(
                "got ExemplarPrior with a condition, for which its exemplars would need conditions of their own; use "
                "a NormalMixture prior"
            )
        means = self._drawn() if self.training and len(self.exemplars) else self.codes
        return NormalMixture(torch.zeros_like(means[:, 0]), means, soft_clip(self.log_scale).exp())

    def _drawn(self) -> Tensor:
        """The means of M exemplars, [M, D]."""
        chosen = torch.randint(len(self.exemplars), (self.components,), device=self.exemplars.device)
        return self._means(self.exemplars[chosen])

    def _means(self, x: Tensor) -> Tensor:
        means = centre(self.posterior(x.to(self.codes.dtype)))
        if means is None:
            raise IncompatibleError(
                f"got ExemplarPrior of a {type(self.posterior).__name__} posterior, for whose mean no formula is "
                "known; use a VampPrior prior"
            )
        return means

    def train(self, mode: bool = True) -> ExemplarPrior:
        """As torch's; on the way to evaluation mode the means of all exemplars are computed."""
        super().train(mode)
        if not mode and len(self.exemplars):
            with torch.no_grad():
                self.codes.copy_(torch.cat([self._means(part) for part in self.exemplars.split(TOGETHER)]))
        return self

    def start(self, x: Tensor, codes: Callable[[], Tensor], seed: int = 0) -> None:
        """Draw the exemplars from these examples; arguments as `remember`, the codes are not asked for."""
        self.remember(x, seed)

    def remember(self, x: Tensor, seed: int = 0) -> None:
        """Draw the exemplars from these examples, the same ones for the same seed; also for a run that goes on.

        Arguments:
            x: Training examples, at least N of them, in their own type.
            seed: Seed of the choice.

        Raises:
            DataError: if there are too few.
        """
        self.check(len(x))
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: len(self.codes)]
        self.exemplars = x[chosen].to(self.codes.device)

    def check(self, examples: int) -> None:
        """Refuse fewer examples than exemplars.

        Raises:
            DataError: if there are too few.
        """
        if examples < len(self.codes):
            raise DataError(
                f"got {examples} examples for {len(self.codes)} exemplars; expected at least as many: give examples=N "
                "with a smaller N"
            )
