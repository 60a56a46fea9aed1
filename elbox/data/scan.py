r"""Looking at a large array some rows at a time, so that no check or statistic doubles the memory it takes.

What is learned is the same for an array in memory and for rows that come from disk chunk by chunk: `Facts` and
`Moments` are fed rows, and know nothing of where these came from.
"""

from __future__ import annotations

__all__ = ["Facts", "Moments", "chunks", "first_bad", "rows_within"]

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

_CHUNK = 1 << 22  # elements of a chunk
_TILE = 1 << 17  # elements in float64 that stay in a processor's cache


def rows_within(elements: int, shape: tuple[int, ...]) -> int:
    """How many rows of an array [N, …] hold that many elements, at least 1."""
    return max(1, elements // max(1, math.prod(shape[1:])))


def chunks(x: np.ndarray) -> Iterator[slice]:
    """Slices of rows that hold a few million elements each."""
    rows = rows_within(_CHUNK, x.shape)
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


@dataclass
class Facts:
    """What the kind of values is inferred from: type, number of axes and range of finite values.

    Arguments:
        ndim: Number of axes, rows included.
        dtype: The type that holds all values seen.
        low: Smallest value seen.
        high: Largest value seen.
        binary: Whether every value seen is 0 or 1.

    Example:
        >>> facts = Facts.of(np.array([[0, 3], [1, 2]], np.uint8))
        >>> facts.high, facts.binary
        (3.0, False)
    """

    ndim: int
    dtype: np.dtype
    low: float = math.inf
    high: float = -math.inf
    binary: bool = True

    @classmethod
    def of(cls, x: np.ndarray) -> Facts:
        """Facts of an array [N, …] in memory."""
        facts = cls(x.ndim, x.dtype)
        for rows in chunks(x):
            facts.add(x[rows])
        return facts

    def add(self, x: np.ndarray) -> None:
        """Take further rows [n, …] into account."""
        self.dtype = np.result_type(self.dtype, x.dtype)
        self.low, self.high = min(self.low, float(x.min())), max(self.high, float(x.max()))
        if self.binary and not (self.low >= 0 and self.high <= 1):
            self.binary = False
        elif self.binary and x.dtype.kind == "f":
            self.binary = not bool(((x != 0) & (x != 1)).any())


class Moments:
    r"""Mean, standard deviation and range of each dimension, in float64, gathered some rows at a time.

    The moments of two sets of rows A and B are joined by

    $$δ = \bar x_B - \bar x_A, \quad \bar x = \bar x_A + δ\, n_B / n, \quad M = M_A + M_B + δ^2 n_A n_B / n$$

    where M is the sum of squared deviations from the mean: exact where squares minus squares would cancel.

    Reference: Chan, Golub & LeVeque, Algorithms for computing the sample variance, 1983, equation 2.1.

    Example:
        >>> moments = Moments.of(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> moments.mean.tolist(), moments.spread.tolist(), moments.low.tolist()
        ([2.0, 5.0], [1.0, 0.0], [1.0, 5.0])
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.low = self.high = self._square = np.empty(0)

    @classmethod
    def of(cls, x: np.ndarray) -> Moments:
        """Moments of an array [N, …] in memory."""
        moments = cls()
        moments.add(x)
        return moments

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of each of the D flattened dimensions, [D]."""
        return np.sqrt(self._square / self.count)

    def add(self, x: np.ndarray) -> None:
        """Take further rows [n, …] into account."""
        rows = rows_within(_TILE, x.shape)
        for start in range(0, len(x), rows):
            self._tile(x[start : start + rows].reshape(min(rows, len(x) - start), -1))

    def _tile(self, x: np.ndarray) -> None:
        wide = x.astype(np.float64)
        mean = wide.mean(axis=0)
        wide -= mean
        square = np.einsum("nd,nd->d", wide, wide)
        low, high = x.min(axis=0), x.max(axis=0)
        if self.count == 0:
            self.count, self.mean, self._square, self.low, self.high = len(x), mean, square, low, high
            return
        total, delta = self.count + len(x), mean - self.mean
        self.mean = self.mean + delta * (len(x) / total)
        self._square = self._square + square + np.square(delta) * (self.count * len(x) / total)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.count = total
