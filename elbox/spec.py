r"""What a model must know of its data: shape, kind of values, and the scale on which they vary.

Data stay in their own units everywhere: a grey level is 0 … L − 1, a table's column keeps its physical unit, and every
likelihood is a probability (or density) of the data *as given*. Networks want inputs of order one, so the parts take
`offset` and `scale` from here and standardise inside: no number that elbox prints depends on a hidden rescaling.
"""

from __future__ import annotations

__all__ = ["DISCRETE", "DataSpec", "KINDS"]

import math
from dataclasses import asdict, dataclass
from typing import Any

from elbox.errors import DataError

KINDS = ("binary", "levels", "real", "count", "unit", "positive", "complex")
DISCRETE = ("binary", "levels", "count")


@dataclass(frozen=True)
class DataSpec:
    r"""Shape and kind of one example \(x\).

    Arguments:
        event_shape: Shape of one example: `(D,)` for a table row, `(C, H, W)` for an image.
        kind: `"binary"` (values 0, 1), `"levels"` (ordered integers 0 … levels − 1), `"real"`, `"count"` (integers
            ≥ 0), `"unit"` (real numbers in [0, 1]), `"positive"` (real numbers > 0), or `"complex"` (complex numbers,
            their real and imaginary parts along a first axis of size 2).
        levels: Number of levels, for kind `"levels"` only (256 for bytes).
        offset: Typical location of the training values: one number, or one for each of the \(D\) flattened dimensions
            (their means; for binary data the shares of ones).
        scale: Typical spread (> 0), like `offset`.
        classes: Number of classes of the labels that come with the data; 0 without labels.
        examples: Number of training examples N, which estimates of aggregated densities need; 0 where it is not known.

    Raises:
        DataError: if kind, shape, levels or scale are impossible.

    Example:
        >>> spec = DataSpec((1, 8, 8), "levels", levels=17, offset=4.9, scale=6.0)
        >>> spec.dims, spec.is_image
        (64, True)
    """

    event_shape: tuple[int, ...]
    kind: str = "real"
    levels: int = 0
    offset: float | tuple[float, ...] = 0.0
    scale: float | tuple[float, ...] = 1.0
    classes: int = 0
    examples: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"got data of kind {self.kind!r}; expected one of {', '.join(KINDS)}")
        if not self.event_shape or min(self.event_shape) < 1:
            raise DataError(f"got event shape {self.event_shape}; expected at least one dimension, each of size ≥ 1")
        if (self.kind == "levels") != (self.levels >= 2):
            raise DataError(
                f"got kind {self.kind!r} with levels={self.levels}; expected levels ≥ 2 for kind 'levels', else 0"
            )
        if self.kind == "complex" and (len(self.event_shape) < 2 or self.event_shape[0] != 2):
            raise DataError(
                f"got complex data of event shape {self.event_shape}; expected (2, ...), the real and then the "
                "imaginary parts: give an array of complex numbers, or stack both along the axis behind the rows"
            )
        for name in ("offset", "scale"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.dims:
                raise DataError(f"got {len(value)} values of {name}; expected 1 or {self.dims}, one for each dimension")
        if min(self.scale if isinstance(self.scale, tuple) else (self.scale,)) <= 0:
            raise DataError(
                "got a scale that is not positive: a column is constant; drop it, it carries no information"
            )

    @property
    def dims(self) -> int:
        """Number of dimensions D of one example, the denominator of bits/dim."""
        return math.prod(self.event_shape)

    @property
    def is_discrete(self) -> bool:
        """Whether a model gives such data probabilities; of the other kinds it gives densities, which have a unit."""
        return self.kind in DISCRETE

    @property
    def is_image(self) -> bool:
        """Whether an example is an image: shape (C, H, W) with 1 to 4 channels."""
        return len(self.event_shape) == 3 and self.event_shape[0] <= 4

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values, from which `from_json` rebuilds the same spec."""
        return asdict(self)

    @classmethod
    def from_json(cls, d: dict[str, Any]) -> DataSpec:
        """The spec that `to_json` described."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in d.items()}
        return cls(**values)
