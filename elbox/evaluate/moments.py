"""Means and variances over examples that arrive in chunks, so that an evaluation need not keep a row for each."""

from __future__ import annotations

__all__ = ["Moments"]

import numpy as np


class Moments:
    r"""Mean and variance over examples of D numbers each, in float64.

    Chunks A and B are joined by

    $$δ = \bar x_B - \bar x_A, \quad \bar x = \bar x_A + δ\, n_B / n, \quad M = M_A + M_B + δ^2 n_A n_B / n$$

    where M is the sum of squared deviations from the mean: exact where squares minus squares would cancel.

    Reference: Chan, Golub & LeVeque (1983), *Algorithms for computing the sample variance*, eq. 2.1.

    Example:
        >>> moments = Moments()
        >>> for chunk in ([[1.0, 5.0], [3.0, 5.0]], [[5.0, 5.0]]):
        ...     moments.add(np.array(chunk))
        >>> moments.mean.tolist(), moments.variance.tolist()
        ([3.0, 5.0], [4.0, 0.0])
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray = np.zeros(())
        self._square: np.ndarray = np.zeros(())

    def add(self, x: np.ndarray) -> None:
        """Take in further examples [B, D]."""
        mean, total = x.mean(0), self.count + len(x)
        delta = mean - self.mean
        self._square = self._square + np.square(x - mean).sum(0) + np.square(delta) * (self.count * len(x) / total)
        self.mean = self.mean + delta * (len(x) / total)
        self.count = total

    @property
    def variance(self) -> np.ndarray:
        """Σ (x − mean)² / (n − 1), [D]."""
        return self._square / (self.count - 1)
