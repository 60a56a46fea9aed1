"""Rows that stay on disk, and look enough like a tensor [N, *event] for everything that reads them in parts."""

from __future__ import annotations

__all__ = ["Form", "Rows"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from elbox.data.binarise import Protocol
from elbox.data.source import Source
from elbox.errors import SettingError

AS_GIVEN = Protocol()


@dataclass(frozen=True)
class Form:
    """How rows as they are found become rows as they are stored in memory.

    Arguments:
        event: Shape of one example.
        small: Whether values are stored as bytes, else as float32.
        protocol: Binarisation on reading; a draw depends on the number of the row, so it is the same each time.
        layout: Brings values found [n, …] into the shape [n, *event].
    """

    event: tuple[int, ...]
    small: bool
    protocol: Protocol = AS_GIVEN
    layout: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, x: np.ndarray, first: int) -> np.ndarray:
        """Rows [n, *event], uint8 or float32, of those found [n, …] of which `first` is the number of the first."""
        rows = self.layout(x) if self.layout else x
        stored = np.ascontiguousarray(self.protocol.binarise(rows, first), np.uint8 if self.small else np.float32)
        return stored.reshape(-1, *self.event)


class Rows:
    """A read-only table of examples on disk; slices are tensors in memory. Reading is safe in threads.

    Arguments:
        source: Where the rows are.
        form: How they are stored once they are read.
        spans: Row numbers [S, 2] at which each of S stretches of rows begins and ends, in order; None for all rows.

    Example:
        >>> import tempfile
        >>> from elbox.data.npy import NpyFile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "x.npy"
        ...     np.save(path, np.arange(10, dtype=np.uint8).reshape(5, 2))
        ...     rows = Rows(NpyFile(path, "x.npy"), Form((2,), small=True), np.array([[0, 1], [3, 5]]))
        ...     len(rows), rows.shape, rows[1:3].tolist()
        (3, torch.Size([3, 2]), [[6, 7], [8, 9]])
    """

    def __init__(self, source: Source, form: Form, spans: np.ndarray | None = None) -> None:
        self.source, self.form = source, form
        self.spans = np.array([[0, len(source)]]) if spans is None else spans[spans[:, 0] < spans[:, 1]]
        self._starts = np.concatenate([[0], np.cumsum(self.spans[:, 1] - self.spans[:, 0])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def shape(self) -> torch.Size:
        """[N, *event]."""
        return torch.Size((len(self), *self.form.event))

    @property
    def dtype(self) -> torch.dtype:
        """torch.uint8 or torch.float32."""
        return torch.uint8 if self.form.small else torch.float32

    def dim(self) -> int:
        """Number of axes."""
        return 1 + len(self.form.event)

    def __getitem__(self, key: int | slice) -> Tensor:
        """Neighbouring rows [n, *event], or one row [*event], read now."""
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                raise SettingError(f"got rows in steps of {step}; expected neighbouring rows of data that are streamed")
            return self._read(start, max(start, stop))
        if not -len(self) <= key < len(self):
            raise IndexError(f"row {key} of {len(self)}")
        return self._read(key % len(self), key % len(self) + 1)[0]

    def narrow(self, dim: int, start: int, length: int) -> Rows:
        """Neighbouring rows that stay on disk; arguments as those of `torch.narrow`, of dimension 0."""
        assert dim == 0
        assert 0 <= start <= start + length <= len(self)
        ends = self._starts.clip(start, start + length)
        offset = self.spans[:, 0] - self._starts[:-1]
        return Rows(self.source, self.form, np.stack([ends[:-1] + offset, ends[1:] + offset], axis=1))

    def edges(self, most: int) -> np.ndarray:
        """Numbers of the first rows of blocks that are cheap to read, of at most `most` rows if any row is as cheap as
        another, with the number of rows at the end.
        """
        given = self.source.edges()
        if not len(given):
            return np.append(np.arange(0, len(self), most), len(self))
        k = np.clip(np.searchsorted(self.spans[:, 0], given, "right") - 1, 0, None)
        inside = np.clip(given, self.spans[k, 0], self.spans[k, 1]) - self.spans[k, 0]
        return np.unique(np.concatenate([[0], self._starts[k] + inside, [len(self)]]))

    def binarised(self, protocol: Protocol) -> Rows:
        """The same rows, binarised when they are read."""
        return Rows(self.source, replace(self.form, protocol=protocol, small=True), self.spans)

    def float(self) -> Rows:
        """The same rows as float32, as a model takes them."""
        return Rows(self.source, replace(self.form, small=False), self.spans)

    def _read(self, start: int, stop: int) -> Tensor:
        pieces = list(self._pieces(start, stop))
        if len(pieces) == 1:
            return torch.from_numpy(pieces[0])
        return (
            torch.from_numpy(np.concatenate(pieces)) if pieces else torch.empty((0, *self.form.event), dtype=self.dtype)
        )

    def _pieces(self, start: int, stop: int) -> Iterator[np.ndarray]:
        k = int(np.searchsorted(self._starts, start, "right")) - 1
        while start < stop:
            end = min(stop, int(self._starts[k + 1]))
            first = int(self.spans[k, 0]) + start - int(self._starts[k])
            yield self.form(self.source.read(first, first + end - start), first)
            start, k = end, k + 1
