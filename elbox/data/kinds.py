"""What kind of values these are, how they are stored, and the `DataSpec` that a model is built from."""

from __future__ import annotations

__all__ = ["MOST_LEVELS", "codes", "count_levels", "infer_kind", "is_bytes", "kind_of", "resident", "spec_of"]

from typing import Any

import numpy as np

from elbox.data.binarise import Protocol
from elbox.data.checks import EXACT
from elbox.data.raw import Where
from elbox.data.scan import Facts, Moments
from elbox.errors import DataError
from elbox.spec import DISCRETE, DataSpec

MOST_LEVELS = 1 << 16


def infer_kind(x: np.ndarray) -> tuple[str, int]:
    """Kind and number of levels, from type, values and shape.

    Only zeros and ones → `binary`. Bytes → `levels`, 256 of them. Other whole-number types, none negative: an image has
    `levels` (256 if the largest value is 128 … 255, else the largest + 1), a table has `count`. Complex numbers →
    `complex`. The rest is `real`; `unit` and `positive` are not inferred, but asked for.

    Arguments:
        x: Finite values [N, *event].

    Example:
        >>> infer_kind(np.zeros((5, 1, 8, 8), np.uint8) + 7)
        ('levels', 256)
        >>> infer_kind(np.array([[0, 3], [2, 12]]))
        ('count', 0)
    """
    return kind_of(Facts.of(x))


def kind_of(facts: Facts) -> tuple[str, int]:
    """Kind and number of levels, as `infer_kind`, from what is known of values that need not be in memory."""
    if facts.dtype.kind == "c":
        return "complex", 0
    if facts.binary:
        return "binary", 0
    if facts.dtype == np.uint8:
        return "levels", 256
    if facts.dtype.kind == "f" or facts.low < 0 or facts.high > EXACT:
        return "real", 0
    if facts.ndim == 2 or facts.high >= MOST_LEVELS:
        return "count", 0
    return "levels", count_levels(facts)


def count_levels(facts: Facts) -> int:
    """Number of levels: 256 for bytes and for other whole numbers up to 128 … 255, else the largest value + 1."""
    top = int(facts.high)
    return 256 if facts.dtype == np.uint8 or 128 <= top <= 255 else max(top + 1, 2)


def is_bytes(kind: str, levels: int, high: float) -> bool:
    """Whether values of that kind, of which `high` is the largest, all fit into bytes."""
    return kind == "binary" or (kind == "levels" and levels <= 256) or (kind == "count" and high <= 255)


def resident(x: np.ndarray, kind: str, levels: int) -> np.ndarray:
    """Values as they stay in memory: bytes where all fit, else float32."""
    small = is_bytes(kind, levels, float(x.max()) if kind == "count" else 0)
    return np.ascontiguousarray(x, dtype=np.uint8 if small else np.float32)


def codes(y: Any, n: int, where: Where) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Labels as int64 codes 0 … C − 1 in sorted order, and the names of the classes.

    Raises:
        DataError: if there is not one label a row, or labels are neither whole numbers nor text.

    Example:
        >>> codes(["cat", "ant", "cat"], 3, Where("array"))
        (array([1, 0, 1]), ('ant', 'cat'))
    """
    if y is None:
        return None, ()
    labels = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if labels.shape != (n,):
        raise DataError(
            f"got labels of shape {labels.shape} with {n} rows in {where.name}; expected one label a row, shape ({n},)"
        )
    if labels.dtype == object:
        labels = labels.astype(str)
    if labels.dtype.kind == "f":
        wrong = np.flatnonzero(~(labels == np.floor(labels)))
        if len(wrong):
            raise DataError(
                f"got the label {labels[wrong[0]]:g} in {where.name}, {where.row(int(wrong[0]))}; expected whole "
                "numbers or text; leave the labels out if they are measurements"
            )
        labels = labels.astype(np.int64)
    names, code = np.unique(labels, return_inverse=True)
    return code.astype(np.int64), tuple(str(name) for name in names)


def spec_of(
    found: Moments, shape: tuple[int, ...], kind: str, levels: int, classes: int, protocol: Protocol
) -> DataSpec:
    r"""The spec of a data set, its offset and scale from the training rows.

    The offset is the mean of each dimension: networks see centred inputs, and likelihoods start at the mean example.
    Columns of a table of measurements or counts have a spread each; pixels and levels, which share one range, and the
    two parts of complex numbers have the root mean square of their spreads; binary values have 1. Under dynamic
    binarisation the offset is the mean of \(p = v / (L-1)\).

    Arguments:
        found: Moments of the training rows as they are stored.
        shape: Shape of one example.
        kind: Kind of the values as they are stored.
        levels: Number of levels as stored.
        classes: Number of classes of the labels.
        protocol: Binarisation, of which dynamic is still to come.
    """
    mean, spread = found.mean, found.spread
    if protocol.kind == "dynamic":
        return DataSpec(shape, "binary", 0, _numbers(mean / (protocol.levels - 1)), 1.0, classes)
    if kind == "binary":
        return DataSpec(shape, kind, 0, _numbers(mean), 1.0, classes)
    if len(shape) == 1 and kind != "levels":
        # A count column that is constant in training may vary later: it keeps its own unit.
        return DataSpec(shape, kind, 0, _numbers(mean), _numbers(np.where(spread > 0, spread, 1.0)), classes)
    together = float(np.sqrt(np.square(spread).mean())) or (
        1.0 if kind in DISCRETE else 0.0
    )  # rows that are all the same
    return DataSpec(shape, kind, levels if kind == "levels" else 0, _numbers(mean), together, classes)


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    """One number for each flattened dimension, as float32 resolves it: a run's record is JSON."""
    return tuple(float(f"{v:.8g}") for v in values.ravel())
