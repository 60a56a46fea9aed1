"""A first-order autoregressive prior over a sequence of codes."""

from __future__ import annotations

__all__ = ["AR1"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import MultivariateNormal
from elbox.errors import SettingError, check_whole
from elbox.parts import part


@part
class AR1(LazyDistribution):
    r"""z_1 ~ N(0, I), z_t = α ⊙ z_{t−1} + √(1 − α²) ⊙ ε_t: each channel a slow process of unit variance.

    z holds the channels of one step side by side, step after step: D = T·C. No posterior that is independent over
    time, such as `DiagonalNormal`, can follow it, so that the rate has a floor whatever the encoder does:

        KL(q ‖ p) ≥ ½ Σ_c [ (T − 2) log(1 + α_c²) − log(1 − α_c²) ],

    reached by q = N(0, diag 1/Λ_dd) with the precision matrix Λ of the prior: `rate`.

    Reference: Razavi et al. (2019), *Preventing posterior collapse with δ-VAEs* (the prior of its temporal form, and
    its bound).

    Arguments:
        length: Number of steps T ≥ 2.
        channels: Number of channels C.
        correlation: α in (−1, 1), one for all channels or one for each.

    Shapes:
        forward(c) → distribution over [T·C]; a condition c is ignored.

    Raises:
        SettingError: if a number is out of range.

    Example:
        >>> p = AR1(10, 1, correlation=0.9)
        >>> p().sample((3,)).shape, round(p.rate, 2)
        (torch.Size([3, 10]), 3.20)
    """

    cholesky: Tensor

    def __init__(self, length: int, channels: int, correlation: float | tuple[float, ...] = 0.9) -> None:
        super().__init__()
        check_whole("length", length, 2)
        check_whole("channels", channels)
        each = correlation if isinstance(correlation, tuple) else (correlation,) * channels
        if len(each) != channels or not all(-1 < a < 1 for a in each):
            raise SettingError(
                f"got correlation={correlation}; expected a number between −1 and 1, or one for each of {channels} "
                "channels"
            )
        self.length, self.alpha = length, torch.tensor(each, dtype=torch.float64)
        self.register_buffer("cholesky", self._cholesky().to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("zero", torch.zeros(length * channels), persistent=False)

    @property
    def rate(self) -> float:
        """The least rate of a posterior that is independent over time, nats."""
        square = self.alpha.square()
        return float(0.5 * ((self.length - 2) * square.log1p() - (-square).log1p()).sum())

    def forward(self, c: Any = None) -> Distribution:
        return MultivariateNormal(self.zero, scale_tril=self.cholesky, validate_args=False)

    def _cholesky(self) -> Tensor:
        """z = L ε: z_tc = α_c^{t−1} ε_1c + Σ_{s=2}^{t} α_c^{t−s} √(1 − α_c²) ε_sc."""
        t = torch.arange(self.length)
        lag = (t[:, None] - t).clamp(min=0)[..., None]
        block = self.alpha**lag * (t[:, None] >= t)[..., None]  # [T, T, C]
        block[:, 1:] *= (1 - self.alpha.square()).sqrt()
        return torch.diag_embed(block).movedim(2, 1).reshape(2 * (block.shape[0] * block.shape[2],))
