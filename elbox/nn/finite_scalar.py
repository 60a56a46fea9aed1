"""Quantisation of each number by itself, on a fixed grid."""

from __future__ import annotations

__all__ = ["FiniteScalar"]

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from elbox.errors import check_whole
from elbox.nn.quantizer import Quantizer
from elbox.parts import part

MARGIN = 1e-3  # by which the bounds stay inside the outermost levels


@part
class FiniteScalar(Quantizer):
    r"""ẑ_i = round(f(h_i)), f(h) = ½ (L_i − 1)(1 − ε) tanh(h + s_i) − o_i: L_i levels for channel i, K = Π_i L_i codes.

    o_i = ½ for even L_i, else 0, and s_i is such that f(0) = 0 (in the paper's code tan stands for artanh in s_i, which
    differs by 1 % for 8 levels). z = ẑ / ⌊L_i / 2⌋ is within [−1, 1]. There is no table, hence nothing to learn or to
    die, and no commitment: the gradient is that of f.

    Reference: Mentzer et al. (2023), *Finite scalar quantization: VQ-VAE made simple*, §3 and appendix A.1; table 1 has
    levels for common K: (8, 6, 5) for 2⁸, (8, 5, 5, 5) for 2¹⁰, (7, 5, 5, 5, 5) for 2¹², (8, 8, 8, 6, 5) for 2¹⁴.

    Arguments:
        levels: L_i ≥ 3 for each of d channels.

    Shapes:
        codes [..., P, 1] → z [..., P·d]; `quantize`: h [..., P, d] → (z_e, codes).

    Raises:
        SettingError: if there are fewer than 3 levels.

    Example:
        >>> grid = FiniteScalar((3, 4))
        >>> grid(torch.tensor([[[0]], [[11]]]))
        tensor([[-1.0000, -1.0000],
                [ 1.0000,  0.5000]])
    """

    depth = 1
    counts: Tensor

    def __init__(self, levels: Sequence[int] = (8, 5, 5, 5)) -> None:
        super().__init__()
        for count in levels:
            check_whole("levels", count, 3, hint=" for each channel")
        self.levels, self.size, self.width = tuple(levels), prod(levels), len(levels)
        self.register_buffer("counts", torch.tensor(levels, dtype=torch.get_default_dtype()), persistent=False)

    def agrees(self, other: Quantizer) -> bool:
        return isinstance(other, FiniteScalar) and self.levels == other.levels

    @property
    def _middle(self) -> Tensor:
        """⌊L_i / 2⌋, the number of the level at 0, and the scale."""
        return self.counts // 2

    def quantize(self, h: Tensor) -> tuple[Tensor, Tensor]:
        span = (self.counts - 1) * (1 - MARGIN) / 2
        offset = torch.where(self.counts % 2 == 0, 0.5, 0.0).to(span)
        bounded = torch.tanh(h + torch.atanh(offset / span)) * span - offset
        return bounded / self._middle, self._code(bounded.detach().round() + self._middle)

    def forward(self, codes: Tensor) -> Tensor:
        below = [prod(self.levels[:i]) for i in range(self.width)]
        digits = [codes // b % count for b, count in zip(below, self.levels, strict=True)]
        return ((torch.cat(digits, -1) - self._middle) / self._middle).flatten(-2)

    def codes(self, z: Tensor) -> Tensor:
        digits = (z.detach().unflatten(-1, (-1, self.width)) * self._middle).round() + self._middle
        return self._code(torch.minimum(digits.nan_to_num().clamp(min=0), self.counts - 1))

    def _code(self, digits: Tensor) -> Tensor:
        """Digits [..., d] as one number [..., 1], the first the lowest."""
        below = [prod(self.levels[:i]) for i in range(self.width)]
        return torch.stack([digits[..., i].long() * b for i, b in enumerate(below)]).sum(0)[..., None]
