"""A prior that another one replaces when the model is trained."""

from __future__ import annotations

__all__ = ["Staged"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.parts import part


@part
class Staged(LazyDistribution):
    r"""p(z) = p₁(z) while the model is trained, p₂(z), fitted to its codes, thereafter.

    p₁ shapes the codes, p₂ = argmax E_q(z|x)[log p(z)] is made for them: with likelihood and posterior as they are,
    that maximises the bound. `elbox.fit` trains both, one after the other, with the same settings.

    Reference: Dai & Wipf (2019), *Diagnosing and enhancing VAE models* (two stages); Rombach et al. (2022), *High-
    resolution image synthesis with latent diffusion models*, §3.

    Arguments:
        first: p₁, in the first stage.
        second: p₂, in the second: any prior part.

    Shapes:
        forward(c) → that of the stage.

    Example:
        >>> from elbox.priors import NormalMixture, StandardNormal
        >>> prior = Staged(StandardNormal(2), NormalMixture(2))
        >>> prior().log_prob(torch.zeros(2)), prior.fitted
        (tensor(-1.8379), False)
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.fitted = False

    @property
    def after_training(self) -> nn.Module:
        """The part that is fitted when the model is trained."""
        return self.second

    def forward(self, c: Any = None) -> Distribution:
        return (self.second if self.fitted else self.first)(c)

    def get_extra_state(self) -> Tensor:
        """The stage, saved with the weights; no buffer, so that a recorded training step reads no tensor to know it."""
        return torch.tensor(self.fitted)

    def set_extra_state(self, state: Tensor) -> None:
        """The stage that was saved."""
        self.fitted = bool(state)
