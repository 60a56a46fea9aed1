"""At which precision torch multiplies and convolves float32 numbers, set for a block and put back after it.

These are settings of the whole process, which belong to the caller: training and evaluation borrow them.
"""

from __future__ import annotations

__all__ = ["multiplying"]

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch


@contextmanager
def multiplying(level: str) -> Iterator[None]:
    """Multiply at `"highest"` (float32), `"high"` (TF32 where the device has it) or `"medium"` precision in the block.

    Arguments:
        level: As of `torch.set_float32_matmul_precision`; convolutions, which have a setting of their own, follow it.

    Example:
        >>> with multiplying("highest"):
        ...     torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        ('highest', False)
    """
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
