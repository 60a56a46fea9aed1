r"""Binarisation of grey levels, and the protocol that must stand beside every number computed from it.

A grey level \(v \in \{0, …, L-1\}\) is read as the probability \(p = v / (L-1)\) of a one. Three protocols are in use,
and their log-likelihoods are not comparable (static and dynamic are about 2 nats apart on MNIST):

- **static**: every pixel is drawn once, \(x \sim \mathrm{Bernoulli}(p)\), and stays (Salakhutdinov & Murray, 2008);
- **dynamic**: training pixels are drawn anew in every batch, held-out pixels once (Burda, Grosse & Salakhutdinov,
  2016);
- **threshold**: \(x = [v > (L-1)/2]\).

The one draw of the held-out sets is the same under static and dynamic, so that the two differ in training only.
"""

from __future__ import annotations

__all__ = ["PROTOCOLS", "AsFloat", "DynamicBinarise", "Protocol", "bernoulli_draw"]

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from elbox.errors import SettingError
from elbox.spec import DataSpec

PROTOCOLS = ("static", "dynamic", "threshold")

_ROWS = 10_000  # rows drawn together, which bounds the memory; the bits do not depend on it


class AsFloat(nn.Module):
    """Turns a batch of bytes or floats into float32 and changes no value.

    Example:
        >>> AsFloat()(torch.tensor([[0, 16]], dtype=torch.uint8))
        tensor([[ 0., 16.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Values [B, …] as float32."""
        return x.float()


class DynamicBinarise(nn.Module):
    r"""Draws every pixel of a training batch anew, \(x \sim \mathrm{Bernoulli}(v / (L-1))\), in one expression.

    In evaluation mode nothing is drawn: held-out sets are binarised once when they are loaded, and only become floats
    here.

    Reference: Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, 2016, section 5.

    Arguments:
        levels: Number of grey levels L.

    Example:
        >>> DynamicBinarise(256)(torch.tensor([[0, 255]], dtype=torch.uint8))
        tensor([[0., 1.]])
    """

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        """Zeros and ones [B, …] float32 from grey levels [B, …]."""
        if not self.training:
            return x.float()
        p = x.float() / (self.levels - 1)
        return (torch.rand_like(p) < p).float()

    def extra_repr(self) -> str:
        return f"levels={self.levels}"


def bernoulli_draw(x: np.ndarray, levels: int, seed: int = 0, first: int = 0) -> np.ndarray:
    r"""One seeded draw \(\mathrm{Bernoulli}(v / (L-1))\) for every pixel, in row order.

    The uniform numbers come from `PCG64(seed)` in float32, one for each pixel of each row from row 0 on; with seed 0
    and MNIST's 70 000 images in their original order this is elbox's statically binarised MNIST. The generator jumps
    to row `first`, so that rows drawn in parts, in any order, get the bits that they get when drawn together.

    Arguments:
        x: Grey levels [N, …].
        levels: Number of levels L.
        seed: Seed of the draw.
        first: Number of the first of these rows in the data set.

    Returns:
        Zeros and ones [N, …] uint8.

    Example:
        >>> bernoulli_draw(np.array([[0, 255, 255]], dtype=np.uint8), 256)
        array([[0, 1, 1]], dtype=uint8)
    """
    skip = first * int(np.prod(x.shape[1:]))
    rng = np.random.Generator(np.random.PCG64(seed).advance(skip // 2))  # one 64-bit output makes two float32
    if skip % 2:
        rng.random(dtype=np.float32)
    bits = np.empty(x.shape, np.uint8)
    for start in range(0, len(x), _ROWS):
        rows = x[start : start + _ROWS]
        bits[start : start + _ROWS] = rng.random(rows.shape, dtype=np.float32) < rows.astype(np.float32) / np.float32(
            levels - 1
        )
    return bits


@dataclass(frozen=True)
class Protocol:
    """How grey levels became binary: enough to say it beside a number, and to treat new data in the same way.

    Arguments:
        kind: `"none"`, `"static"`, `"dynamic"` or `"threshold"`.
        levels: Number of grey levels before binarisation; 0 for `"none"`.
        seed: Seed of the draws that are made once.

    Raises:
        SettingError: if the kind is unknown.

    Example:
        >>> Protocol("threshold", 256).describe(DataSpec((1, 28, 28), "binary"))
        'threshold binarisation of 256 levels: one where the level exceeds 127.5'
    """

    kind: str = "none"
    levels: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("none", *PROTOCOLS):
            raise SettingError(
                f"got binarise={self.kind!r}; expected one of {', '.join(PROTOCOLS)}, or nothing to leave the values "
                "as they are"
            )

    def describe(self, spec: DataSpec) -> str:
        """One line for people, to be shown beside every number."""
        if self.kind == "static":
            return f"static binarisation of {self.levels} levels: every pixel drawn once, seed {self.seed}"
        if self.kind == "dynamic":
            how = "training pixels redrawn in every batch, held-out pixels drawn once"
            return f"dynamic binarisation of {self.levels} levels: {how}, seed {self.seed}"
        if self.kind == "threshold":
            return (
                f"threshold binarisation of {self.levels} levels: one where the level exceeds {(self.levels - 1) / 2:g}"
            )
        return {
            "binary": "binary values as given",
            "levels": f"levels 0…{spec.levels - 1} as given, not binarised",
            "count": "counts as given",
            "real": "real values as given, densities in the units of the data",
            "unit": "values in [0, 1] as given, densities",
            "positive": "positive values as given, densities in the units of the data",
            "complex": "complex values as given, densities of real and imaginary part in the units of the data",
        }[spec.kind]

    def binarise(self, x: np.ndarray, first: int = 0) -> np.ndarray:
        """Zeros and ones uint8 from levels, once: a seeded draw, or the threshold. Kind `"none"` returns `x`.

        `first` is the number of the first of these rows in the data set, on which the draw depends.
        """
        if self.kind == "none":
            return x
        if self.kind == "threshold":
            return (x > (self.levels - 1) / 2).astype(np.uint8)
        return bernoulli_draw(x, self.levels, self.seed, first)

    def prepare(self) -> nn.Module:
        """The module that turns a training batch, as it is stored, into the float32 that a model takes."""
        return DynamicBinarise(self.levels) if self.kind == "dynamic" else AsFloat()

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `from_json` rebuilds the protocol."""
        return asdict(self)

    @classmethod
    def from_json(cls, d: dict[str, Any]) -> Protocol:
        """The protocol that `to_json` described."""
        return cls(**d)
