"""A factorised prior over binary codes."""

from __future__ import annotations

__all__ = ["BernoulliPrior"]

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import Bits
from elbox.errors import SettingError, check_whole
from elbox.parts import part


@part
class BernoulliPrior(LazyDistribution):
    r"""p(z) = Π_d Bernoulli(z_d; σ(l_d)): D independent bits, fair ones by default.

    Reference: Mnih & Gregor (2014), *Neural variational inference and learning in belief networks*, §2 (the top layer
    of a sigmoid belief network); Tucker et al. (2017), *REBAR*, §5 (learned, fair at the start).

    Arguments:
        latent: Number of bits D.
        share: Probability of a 1, in (0, 1).
        learned: Learn l, from that share on.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Raises:
        SettingError: if `share` is not within (0, 1).

    Example:
        >>> BernoulliPrior(3)().log_prob(torch.tensor([1.0, 0.0, 1.0]))
        tensor(-2.0794)
    """

    logits: Tensor

    def __init__(self, latent: int, share: float = 0.5, *, learned: bool = False) -> None:
        super().__init__()
        check_whole("latent", latent)
        if not 0 < share < 1:
            raise SettingError(f"got share={share}; expected a probability between 0 and 1, neither included")
        logits = torch.full((latent,), math.log(share) - math.log1p(-share))
        if learned:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits, persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        return Bits(self.logits, 1)
