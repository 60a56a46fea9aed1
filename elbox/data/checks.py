"""Bad data stop here: one sentence that names the file, the first offending row and what to do."""

from __future__ import annotations

__all__ = ["EXACT", "as_rows", "check_finite", "check_varies", "check_support", "is_binary", "numeric"]

from typing import Any

import numpy as np
import torch

from elbox.data.raw import Where
from elbox.data.scan import Moments, first_bad
from elbox.errors import DataError
from elbox.spec import DISCRETE

_LARGEST = float(np.finfo(np.float32).max)
EXACT = 1 << 24  # whole numbers up to here are exact in float32


def numeric(x: Any, where: Where) -> np.ndarray:
    """A numpy array of numbers from a tensor, an array, a data frame or nested lists; booleans become bytes."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        x = x.float() if x.dtype == torch.bfloat16 else x
    try:
        array = np.asarray(x)
    except ValueError as error:  # numpy's refusal of ragged lists
        raise DataError(_ragged(x, where)) from error
    if array.dtype == object and array.ndim == 1 and len({np.shape(row) for row in array}) > 1:
        raise DataError(_ragged(array, where))
    if array.dtype == bool:
        return array.view(np.uint8)
    if array.dtype.kind not in "iufc":
        raise DataError(
            f"got values of type {array.dtype} in {where.name}; expected an array of numbers; encode text and "
            "categories as numbers first"
        )
    return array


def _ragged(rows: Any, where: Where) -> str:
    """Message for rows of unequal shape."""
    shapes = [np.shape(row) for row in rows]
    odd = next((i for i, shape in enumerate(shapes) if shape != shapes[0]), 0)
    return (
        f"got mixed sizes in {where.name}: {where.row(0)} has shape {shapes[0]} and {where.row(odd)} has "
        f"{shapes[odd]}; expected one shape for all; crop, pad or resize them first"
    )


def as_rows(x: np.ndarray, where: Where, kind: str | None = None) -> np.ndarray:
    """Examples in elbox's layout: tables [N, D], images [N, C, H, W].

    A stack of pictures [N, H, W] gets its one channel; channels-last pictures [N, H, W, C] with C ≤ 4 are moved to
    channels first when the second axis cannot be the channels (it is longer than 4). Complex numbers [N, …] become
    their real and imaginary parts [N, 2, …]; real numbers of kind `"complex"` are taken to be so already.

    Raises:
        DataError: if there is no row, an axis is empty, or the number of axes is not 2, 3 or 4.
    """
    if x.dtype.kind == "c":
        x, kind = np.stack([x.real, x.imag], axis=1), "complex"
    if x.size == 0:
        raise DataError(
            f"got an empty array of shape {x.shape} in {where.name}; expected at least one row and one value a row; "
            "check how it was saved"
        )
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"got an array of shape {x.shape} in {where.name}; expected [N, D] for a table or [N, H, W], [N, C, H, W] "
            f"or [N, H, W, C] for images; reshape it{', for one column with x.reshape(-1, 1)' if x.ndim == 1 else ''}"
        )
    if kind == "complex":
        return x
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4 and x.shape[-1] <= 4 < x.shape[1]:
        return np.moveaxis(x, -1, 1)
    return x


def is_binary(x: np.ndarray) -> bool:
    """Whether every value is 0 or 1."""
    return first_bad(x, lambda v: (v != 0) & (v != 1)) is None


def check_finite(x: np.ndarray, where: Where) -> None:
    """Refuse NaN, infinities, and values that 32-bit floats cannot hold."""
    if x.dtype.kind != "f":
        return
    largest = min(_LARGEST, float(np.finfo(x.dtype).max))
    at = first_bad(x, lambda v: ~(np.abs(v) <= largest))
    if at is None:
        return
    value = float(x[at])
    if np.isnan(value):
        raise DataError(
            f"got NaN in {where.cell(at)}; expected a number in every cell; fill in or drop the missing values"
        )
    if np.isinf(value):
        raise DataError(f"got {value:+} in {where.cell(at)}; expected finite numbers; drop or clip the infinite values")
    raise DataError(
        f"got {value:g} in {where.cell(at)}; expected values within ±{_LARGEST:.2g}, the range of 32-bit floats; "
        "rescale them"
    )


def check_support(x: np.ndarray, kind: str, levels: int, where: Where, *, advice: str = "") -> None:
    """Refuse values to which a likelihood for `kind` gives no probability.

    Arguments:
        x: Values [N, …], finite.
        kind: Kind of values, as in `DataSpec`.
        levels: Number of levels for kind `"levels"`.
        where: Names for the message.
        advice: What to do, if not the usual.
    """
    if kind in ("real", "complex"):
        return
    if kind == "positive":
        at = first_bad(x, lambda v: v.astype(np.float32) <= 0)  # as they are stored
    else:
        top = {"binary": 1, "levels": levels - 1, "count": EXACT, "unit": 1}[kind]
        top = min(top, int(np.finfo(x.dtype).max)) if x.dtype.kind == "f" else top
        whole = kind in DISCRETE and x.dtype.kind == "f"
        at = first_bad(x, lambda v: (v < 0) | (v > top) | (v != np.floor(v)) if whole else (v < 0) | (v > top))
    if at is not None:
        expected, usual = _expectation(kind, levels, float(x[at]))
        raise DataError(f"got {float(x[at]):g} in {where.cell(at)}; expected {expected}; {advice or usual}")


def _expectation(kind: str, levels: int, value: float) -> tuple[str, str]:
    """What values of `kind` look like, and the usual remedy for a `value` that is not one."""
    if kind == "binary":
        return (
            "0 or 1 (binary data)",
            "binarise grey levels with binarise='dynamic', 'static' or 'threshold', or leave kind out",
        )
    if kind == "count":
        if value > EXACT:
            return f"counts up to {EXACT}, which 32-bit floats hold exactly", "use kind='real'"
        return "whole numbers ≥ 0 (counts)", "use kind='real' for measurements"
    if kind == "unit":
        return "values in [0, 1]", "divide by the largest possible value, such as x / 255, or use kind='real'"
    if kind == "positive":
        return "values > 0", "use kind='real', or kind='count' for whole numbers"
    wanted = f"whole numbers 0 … {levels - 1} (levels={levels})"
    if 0 < value < 1:
        return (
            wanted,
            f"if these are levels divided by {levels - 1}, multiply by {levels - 1} and round, else use kind='real'",
        )
    return wanted, "give the right number of levels, or use kind='real'"


def check_varies(found: Moments, kind: str, where: Where, *, table: bool) -> None:
    """Refuse a table column of real numbers, or a whole data set, that never varies: its density would be infinite.

    A column that varies by less than 32-bit floats resolve at its size is as good as constant, and refused too.

    Arguments:
        found: Moments of the training rows as they are stored.
        kind: Kind of values.
        where: Names for the message.
        table: Whether a row is a row of a table, of which every column has to vary.
    """
    if kind not in DISCRETE and table:
        _check_columns(found, where)
    elif found.low.min() == found.high.max():
        raise DataError(
            f"got the value {found.low[0]:g} everywhere in the training rows of {where.name}; expected values that "
            "vary; check how they were made"
        )


def _check_columns(found: Moments, where: Where) -> None:
    mean, spread = found.mean, found.spread
    names = [repr(c) for c in where.columns] or [str(j) for j in range(len(mean))]
    fixed = np.flatnonzero(found.low == found.high)
    if len(fixed):
        j = int(fixed[0])
        others = f" and {len(fixed) - 1} more like it" if len(fixed) > 1 else ""
        raise DataError(
            f"got column {names[j]} of {where.name} with the value {found.low[j]:g} in every training row; expected "
            f"columns that vary; drop it{others}"
        )
    coarse = np.flatnonzero(np.spacing(np.abs(mean).astype(np.float32)) > 0.01 * spread)
    if len(coarse):
        j = int(coarse[0])
        raise DataError(
            f"got column {names[j]} of {where.name} with values near {mean[j]:g} that vary by {spread[j]:.2g} only; "
            "expected a spread that 32-bit floats resolve; subtract a constant from it first"
        )
