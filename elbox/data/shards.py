"""Several files of rows as one: a folder of `.npy` or of `.parquet` shards, in the order of their names."""

from __future__ import annotations

__all__ = ["Shards", "shards_in"]

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from elbox.data.npy import NpyFile
from elbox.data.parquet import Last, ParquetFile
from elbox.data.raw import Where
from elbox.data.source import Source, check_readable
from elbox.errors import DataError

_SUFFIXES = (".npy", ".parquet")
_IMAGES = (".png", ".jpg", ".jpeg")


class Shards(Source):
    """Rows of several sources, one after the other.

    Arguments:
        parts: The shards, of which rows have one shape and columns one name.
        name: Name of the folder, for messages.

    Raises:
        DataError: naming the first shard that differs from the first one.
    """

    def __init__(self, parts: Sequence[Source], name: str) -> None:
        _check_alike(parts, name)
        self.parts = [part for part in parts if len(part)] or list(parts[:1])
        self._starts = np.concatenate([[0], np.cumsum([len(part) for part in self.parts])]).astype(np.int64)
        where = Where(name, parts[0].where.columns, self._row)
        shape = (int(self._starts[-1]), *parts[0].shape[1:])
        dtype = np.result_type(*(part.dtype for part in parts))
        super().__init__(where, shape, dtype, sum(part.nbytes for part in parts))

    def _row(self, i: int) -> str:
        """Shard and row in it."""
        k = int(np.searchsorted(self._starts, i, "right")) - 1
        part = self.parts[k].where
        return f"{Path(part.name).name} {part.row(i - int(self._starts[k]))}"

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows of the shards that hold them."""
        first = int(np.searchsorted(self._starts, start, "right")) - 1
        last = int(np.searchsorted(self._starts, stop, "left"))
        found = []
        for k in range(first, last):
            begin = int(self._starts[k])
            found.append(self.parts[k].read(max(start - begin, 0), min(stop - begin, len(self.parts[k]))))
        return found[0] if len(found) == 1 else np.concatenate(found)

    def edges(self) -> np.ndarray:
        """Where row groups begin, if the shards have them."""
        return np.concatenate([begin + part.edges() for begin, part in zip(self._starts, self.parts)])


def shards_in(folder: Path, name: str) -> Shards | None:
    """The shards that lie in a folder; None if there are none.

    Raises:
        DataError: if shards are of both kinds, lie among images, or cannot be read; it names them.
    """
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(path.suffix.lower(), []).append(path)
    kinds = [suffix for suffix in _SUFFIXES if suffix in found]
    if not kinds:
        return None
    mixed = [found[suffix][0].name for suffix in (*_SUFFIXES, *_IMAGES) if suffix in found]
    if len(mixed) > 1:
        raise DataError(
            f"got {mixed[0]} and {mixed[1]} in one folder, {name}; expected files of one kind: .npy, .parquet or "
            "images; move the others"
        )
    for path in found[kinds[0]]:
        check_readable(path, f"{name}/{path.name}")
    reader: Callable[[Path, str], Source] = NpyFile if kinds[0] == ".npy" else partial(ParquetFile, last=Last())
    return Shards([reader(path, f"{name}/{path.name}") for path in found[kinds[0]]], name)


def _check_alike(parts: Sequence[Source], name: str) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.where.columns != first.where.columns:
            odd = sorted(set(part.where.columns) ^ set(first.where.columns)) or ["their order"]
            raise DataError(
                f"got shards of different columns in {name}: {Path(first.where.name).name} and "
                f"{Path(part.where.name).name} differ in {odd[0]}; expected the same columns in the same order; save "
                "them alike"
            )
        if part.shape[1:] != first.shape[1:] or len(part.shape) != len(first.shape):
            raise DataError(
                f"got shards of different shapes in {name}: rows of {Path(first.where.name).name} have shape "
                f"{first.shape[1:]} and rows of {Path(part.where.name).name} {part.shape[1:]}; expected one shape for "
                "all; crop, pad or resize them first"
            )
