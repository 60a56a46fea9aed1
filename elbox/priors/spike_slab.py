"""A sparse prior: each number is about 0 but for a share of them."""

from __future__ import annotations

__all__ = ["SpikeSlab"]

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from zuko.lazy import LazyDistribution

from elbox.distributions import SpikeSlab as SpikeSlabDistribution
from elbox.errors import SettingError, check_number, check_whole
from elbox.parts import part


@part
class SpikeSlab(LazyDistribution):
    r"""p(z) = Π_d [ γ N(z_d; 0, 1) + (1 − γ) N(z_d; 0, τ²) ]: few large numbers, the rest about 0.

    It goes with any real posterior, best with `posteriors.SpikeSlab` of the same τ.

    Reference: Tonolini, Jensen & Murray-Smith (2019), *Variational sparse coding* (there with a point mass at 0); see
    `elbox.distributions.SpikeSlab`.

    Arguments:
        latent: Dimension D of z.
        share: γ, the share of large numbers, in (0, 1).
        spike: τ, the spread of the others.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Raises:
        SettingError: if the share is not in (0, 1), or the spread not positive.

    Example:
        >>> SpikeSlab(2, share=0.2, spike=0.05)().variance
        tensor([0.2020, 0.2020])
    """

    logits: Tensor
    zero: Tensor
    one: Tensor
    spike: Tensor

    def __init__(self, latent: int, share: float = 0.2, spike: float = 0.05) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_number("spike", spike, positive=True)
        if not 0 < share < 1:
            raise SettingError(f"got share={share}; expected a share of large numbers between 0 and 1")
        values = {"logits": math.log(share / (1 - share)), "zero": 0.0, "one": 1.0, "spike": spike}
        for name, value in values.items():
            self.register_buffer(name, torch.full((latent,), value), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        one = SpikeSlabDistribution(self.logits, self.zero, self.one, self.spike)
        return Independent(one, 1, validate_args=False)
