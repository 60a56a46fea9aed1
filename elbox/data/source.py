"""Examples as they lie on disk: how many, of what shape, and any rows of them on request."""

from __future__ import annotations

__all__ = ["Source", "check_readable"]

import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from elbox.data.raw import Raw, Where
from elbox.errors import DataError


def check_readable(path: Path, name: str) -> None:
    """Refuse a file or a folder that its permissions keep from this user."""
    if not os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK):
        raise DataError(
            f"got {name}, which may not be read (permission denied); expected a file or a folder that you may read; "
            "change its permissions"
        )


class Source(ABC):
    """Rows in a file or a folder that can be read in parts. `read` may be called from several threads.

    Arguments:
        where: Names for messages.
        shape: Shape [N, …] of all rows as they are found.
        dtype: Their type; rows read may have a narrower one.
        nbytes: Size on disk.
    """

    y: Any = None
    class_names: tuple[str, ...] = ()
    notes: dict[str, Any] = {}

    def __init__(self, where: Where, shape: tuple[int, ...], dtype: Any, nbytes: int) -> None:
        self.where, self.shape, self.dtype, self.nbytes = where, shape, np.dtype(dtype), nbytes

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def need(self) -> int:
        """Bytes of memory that it takes to load everything: rows as they are found, and two copies as stored."""
        return math.prod(self.shape) * (self.dtype.itemsize + 2 * min(self.dtype.itemsize, 4))

    @abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start … stop − 1 as found, [stop − start, …], in memory of their own.

        Raises:
            DataError: if they cannot be read any more.
        """

    def edges(self) -> np.ndarray:
        """Row numbers between which rows are read together at the least cost; none if a read may begin anywhere."""
        return np.empty(0, np.int64)

    def raw(self) -> Raw:
        """Everything, in memory."""
        x = self.read(0, len(self))
        return Raw(x, self.y, self.where, class_names=self.class_names, notes=self.notes)
