"""Looking at a large array some rows at a time, so that no check or statistic doubles the memory it takes."""

from __future__ import annotations

__all__ = ["chunks", "first_bad", "moments"]

import math
from collections.abc import Callable, Iterator

import numpy as np

_CHUNK = 1 << 22  # elements


def chunks(x: np.ndarray) -> Iterator[slice]:
    """Slices of rows that hold a few million elements each."""
    rows = max(1, _CHUNK // max(1, math.prod(x.shape[1:])))
    for start in range(0, len(x), rows):
        yield slice(start, start + rows)


def first_bad(x: np.ndarray, bad: Callable[[np.ndarray], np.ndarray]) -> tuple[int, ...] | None:
    """Index of the first element, in row order, for which `bad` holds; None if there is none."""
    for rows in chunks(x):
        wrong = bad(x[rows])
        if wrong.any():
            first = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            return (int(first[0]) + rows.start, *(int(i) for i in first[1:]))
    return None


def moments(x: np.ndarray, *, by_column: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation in float64, of everything or of each column, without a float64 copy of the data."""
    axis = 0 if by_column else None
    count = len(x) if by_column else x.size
    mean = sum(x[rows].sum(axis=axis, dtype=np.float64) for rows in chunks(x)) / count
    square = sum(np.square(x[rows] - mean).sum(axis=axis) for rows in chunks(x)) / count
    return np.asarray(mean), np.asarray(np.sqrt(square))
