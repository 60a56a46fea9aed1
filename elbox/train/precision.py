"""In which arithmetic torch multiplies, set for a block and put back after it.

These are settings of the whole process, which belong to the caller: training and evaluation borrow them.
"""

from __future__ import annotations

__all__ = ["evaluating", "no_denormals", "products", "threads"]

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Multiply as `precision` says inside the block; the process's own settings are put back after it."""
    with _multiplying({"tf32": "high", "bf16": "medium"}.get(precision, "highest")):
        yield


@contextmanager
def evaluating(precision: str) -> Iterator[None]:
    """Multiply in full precision inside the block, as everything held out is; the default type is double for "64"."""
    default = torch.get_default_dtype()
    with _multiplying("highest"):
        torch.set_default_dtype(torch.float64 if precision == "64" else default)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


@contextmanager
def _multiplying(level: str) -> Iterator[None]:
    before = _Settings()
    torch.set_float32_matmul_precision(level)
    torch.backends.cudnn.allow_tf32 = level != "highest"  # convolutions; torch's default is TF32
    try:
        yield
    finally:
        before.restore()


class _Settings:
    """torch's precision settings, of its older interface and of the newer one, which refuse to be read when mixed."""

    def __init__(self) -> None:
        self.matmul: str | None = None
        self.convolutions: bool | None = None
        with suppress(RuntimeError):
            self.matmul = torch.get_float32_matmul_precision()
        with suppress(RuntimeError):
            self.convolutions = torch.backends.cudnn.allow_tf32
        b: Any = torch.backends
        places = ((b.cuda, "matmul"), (b.mkldnn, "matmul"), (b.cudnn, "conv"), (b.cudnn, "rnn"))
        found: list[Any] = [getattr(owner, name, None) for owner, name in places]
        self.newer = [(place, place.fp32_precision) for place in found if hasattr(place, "fp32_precision")]

    def restore(self) -> None:
        if self.matmul is not None:
            torch.set_float32_matmul_precision(self.matmul)
        if self.convolutions is not None:
            torch.backends.cudnn.allow_tf32 = self.convolutions
        for place, value in self.newer:  # last, because the older interface writes these too
            place.fp32_precision = value


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
