"""One array in a `.npy` file, of which any rows can be read at their place: nothing is mapped, no pickle is run."""

from __future__ import annotations

__all__ = ["NpyFile", "damaged"]

import math
from pathlib import Path
from typing import Any

import numpy as np

from elbox.data.checks import numeric
from elbox.data.raw import Raw, Where
from elbox.data.source import Source
from elbox.errors import DataError

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpyFile(Source):
    """A `.npy` file. Each read opens the file anew: that is safe in threads, and a process whose address space is
    limited (`ulimit -v`) reads files that it could not map.

    Arguments:
        path: The file.
        name: Its name for messages.

    Raises:
        DataError: if it is damaged, cut off, or holds no numbers.
    """

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        shape, self.fortran, dtype, self.offset = _header(path, name)
        where = Where(name)
        numeric(np.empty(0, dtype), where)  # refuses text, dates and the like
        super().__init__(where, shape, dtype, path.stat().st_size)
        if self.nbytes < self.offset + math.prod(shape) * dtype.itemsize:
            raise DataError(damaged(name, f"{self.nbytes} bytes of an array of shape {shape}"))

    @property
    def need(self) -> int:
        """Two copies as stored: the file itself is mapped while they are made."""
        return 2 * math.prod(self.shape) * min(self.dtype.itemsize, 4)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows from their place in the file."""
        if self.fortran:
            raise DataError(
                f"got {self.where.name} in column order; expected row order for data that are streamed; save it with "
                "np.save(path, np.ascontiguousarray(x))"
            )
        row = math.prod(self.shape[1:])
        try:
            found = np.fromfile(
                self.path, self.dtype, (stop - start) * row, offset=self.offset + start * row * self.dtype.itemsize
            )
        except OSError as error:
            raise DataError(damaged(self.where.name, error)) from error
        if len(found) < (stop - start) * row:
            raise DataError(damaged(self.where.name, f"it ends before row {stop}"))
        return numeric(found.reshape(stop - start, *self.shape[1:]), self.where)

    def raw(self) -> Raw:
        """The array. It is mapped, not read: rows are copied once, when the splits are made."""
        try:
            x = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise DataError(damaged(self.where.name, error)) from error
        return Raw(numeric(x, self.where), None, self.where)


def _header(path: Path, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether columns come first, type, and where the values begin."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in _HEADERS:
                raise ValueError(f"version {version} of the format")
            shape, fortran, dtype = _HEADERS[version](file)
            offset = file.tell()
    except (ValueError, OSError, EOFError) as error:
        raise DataError(damaged(name, error)) from error
    if dtype.hasobject:
        raise DataError(damaged(name, "Python objects"))
    return shape, fortran and len(shape) > 1, dtype, offset


def damaged(name: str, error: object) -> str:
    """Message for a file that numpy refuses."""
    text = str(error)
    if "pickle" in text.lower() or "Python objects" in text:
        return f"got Python objects in {name}; expected an array of numbers, elbox runs no pickle; save plain numbers"
    reason = text.splitlines()[0] if text else "empty file"
    return f"got {name}, which numpy cannot read ({reason}); expected a whole .npy or .npz file; save it again"
