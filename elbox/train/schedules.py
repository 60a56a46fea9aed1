r"""Learning-rate schedules: the factor by which the learning rate is multiplied, as a function of time.

A schedule is a function `(fraction, passes) -> factor`. `fraction` is the part of the run that is done, in [0, 1);
`passes` is the number of complete passes over the data, which only the schedule of Burda et al. reads.
"""

from __future__ import annotations

__all__ = ["SCHEDULES", "Schedule", "burda", "constant", "cosine", "warmup"]

import math
from collections.abc import Callable

Schedule = Callable[[float, int], float]


def constant(fraction: float, passes: int) -> float:
    """The same learning rate throughout."""
    return 1.0


def cosine(fraction: float, passes: int) -> float:
    r"""Half a cosine from 1 down to 0: \(\tfrac12 (1 + \cos \pi t)\) at fraction \(t\) of the run.

    Reference: Loshchilov & Hutter (2017), SGDR, equation 5, without restarts.

    Example:
        >>> [round(cosine(t, 0), 3) for t in (0.0, 0.5, 1.0)]
        [1.0, 0.5, 0.0]
    """
    return 0.5 * (1.0 + math.cos(math.pi * fraction))


def warmup(fraction: float, passes: int) -> float:
    """A linear rise over the first 5 % of the run (from 1 % of the rate, not from 0, which would waste a step); then 1.

    Example:
        >>> [round(warmup(t, 0), 3) for t in (0.0, 0.025, 0.05, 1.0)]
        [0.01, 0.505, 1.0, 1.0]
    """
    return min(1.0, 0.01 + 0.99 * fraction / 0.05)


def burda(fraction: float, passes: int) -> float:
    r"""\(3^i\) passes at a factor of \(10^{-i/7}\), for \(i = 0 \ldots 7\): 3280 passes in all.

    The stage follows from the number of passes done, not from the fraction of the run: a run of 1 + 3 + 9 + 27 = 40
    epochs is exactly the first four stages of the published schedule, one of 364 epochs the first six. Any other number
    of epochs stops inside a stage; beyond 3280 passes the last rate stays.

    Reference: Burda, Grosse & Salakhutdinov (2015), Importance Weighted Autoencoders, section 5.

    Example:
        >>> [round(burda(0.0, p), 3) for p in (0, 1, 3, 4, 12, 13, 39)]
        [1.0, 0.72, 0.72, 0.518, 0.518, 0.373, 0.373]
    """
    stage, end = 0, 1
    while passes >= end and stage < 7:
        stage += 1
        end += 3**stage
    return float(10.0 ** (-stage / 7))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine, "warmup": warmup, "burda": burda}
