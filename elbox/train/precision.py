"""In which arithmetic a run computes, and on how many threads, set for a block and put back after it."""

from __future__ import annotations

__all__ = ["evaluating", "no_denormals", "products", "threads"]

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from elbox.precision import multiplying


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Multiply as `precision` says inside the block; the process's own settings are put back after it."""
    with multiplying({"tf32": "high", "bf16": "medium"}.get(precision, "highest")):
        yield


@contextmanager
def evaluating(precision: str) -> Iterator[None]:
    """Multiply in full precision inside the block, as everything held out is; the default type is double for "64"."""
    default = torch.get_default_dtype()
    with multiplying("highest"):
        torch.set_default_dtype(torch.float64 if precision == "64" else default)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Torch's operations on this many threads; 0 changes nothing."""
    before = torch.get_num_threads()
    if number:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def no_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 inside the block; put back afterwards.

    A CPU takes some hundred cycles for each of them, and Adam makes many: the moving averages of a weight that gets no
    more gradient, such as one of a pixel that is always black, go to 0 through them. Threads that torch starts inherit
    the setting; those that run already keep their own.
    """
    before = bool(torch.tensor(1e-38) * 1e-3 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
