"""A `.parquet` table whose columns are all numbers, read one row group at a time; needs pyarrow."""

from __future__ import annotations

__all__ = ["Last", "ParquetFile"]

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from elbox.data.raw import Raw, Where
from elbox.data.source import Source
from elbox.errors import DataError


class Last:
    """The file read last, open, and its row group decoded last: one of each, however many files share them, so that
    rows read in order cost one opening of each file and one decoding of each group. Safe in threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._file: Any = None
        self._number, self._rows = -1, np.empty((0, 0))

    def group(self, path: Path, number: int, where: Where) -> np.ndarray:
        """The rows of a row group, to be read only."""
        with self._lock, _reading(where.name):
            if (self._path, self._number) != (path, number):
                self._number, self._rows = -1, np.empty((0, 0))  # freed before the next is decoded
                table = self._opened(path).read_row_group(number, columns=list(where.columns))
                self._number, self._rows = number, _numbers(table, where)
            return self._rows

    def _opened(self, path: Path) -> Any:
        if self._path != path:
            import pyarrow.parquet as pq

            if self._file is not None:
                self._file.close()
            self._path = self._file = None
            self._path, self._file = path, pq.ParquetFile(path)
        return self._file


class ParquetFile(Source):
    """A `.parquet` file; an index that pandas wrote is left out. One row group is in memory at a time.

    Arguments:
        path: The file.
        name: Its name for messages.
        last: What it shares with other files of a folder; None for a file of its own.

    Raises:
        DataError: if pyarrow is missing, the file is damaged, or a column holds no numbers.
    """

    def __init__(self, path: Path, name: str, last: Last | None = None) -> None:
        self.path, self._last = path, last or Last()
        with _reading(name):
            import pyarrow.parquet as pq

            with pq.ParquetFile(path) as file:
                meta, schema = file.metadata, file.schema_arrow
        columns = tuple(c for c in schema.names if not c.startswith("__index_level_"))
        where = Where(name, columns)
        types = [_type(schema.field(c).type, c, where) for c in columns]
        shape, dtype = (meta.num_rows, len(columns)), np.result_type(*types) if types else np.dtype(np.float64)
        super().__init__(where, shape, dtype, path.stat().st_size)
        groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(groups)]).astype(np.int64)

    @property
    def need(self) -> int:
        """The table in arrow's memory and as an array of 8-byte numbers."""
        return 16 * self.shape[0] * self.shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows of the row groups that hold them."""
        first = int(np.searchsorted(self._starts, start, "right")) - 1
        last = int(np.searchsorted(self._starts, stop, "left"))
        found = []
        for i in range(first, last):
            begin = int(self._starts[i])
            found.append(self._group(i)[max(start - begin, 0) : stop - begin])
        return np.concatenate(found)

    def edges(self) -> np.ndarray:
        """Where row groups begin."""
        return self._starts[:-1]

    def raw(self) -> Raw:
        """The whole table."""
        with _reading(self.where.name):
            import pyarrow.parquet as pq

            with pq.ParquetFile(self.path) as file:
                table = file.read(columns=list(self.where.columns))
        return Raw(_numbers(table, self.where), None, self.where)

    def _group(self, i: int) -> np.ndarray:
        rows, expected = self._last.group(self.path, i, self.where), int(self._starts[i + 1] - self._starts[i])
        if len(rows) != expected:
            raise DataError(
                f"got {len(rows)} rows in row group {i} of {self.where.name}; expected {expected}, as when it was "
                "opened; restore the file"
            )
        return rows


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Turns what pyarrow raises into one sentence."""
    try:
        yield
    except DataError:
        raise
    except ImportError as error:
        raise DataError(
            f'got {name}, and reading .parquet needs pyarrow; expected it installed; pip install "elbox[tables]"'
        ) from error
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise DataError(
            f"got {name}, which pyarrow cannot read ({str(error).splitlines()[0]}); expected a whole .parquet file; "
            "save it again"
        ) from error


def _type(found: Any, title: str, where: Where) -> np.dtype:
    """The numpy type of a column without missing values."""
    import pyarrow.types as kinds

    if kinds.is_boolean(found):
        return np.dtype(np.uint8)
    if kinds.is_integer(found) or kinds.is_floating(found):
        return np.dtype(found.to_pandas_dtype())
    raise DataError(
        f"got column {title!r} of type {found} in {where.name}; expected numbers; drop it or encode it as numbers"
    )


def _numbers(table: Any, where: Where) -> np.ndarray:
    """All columns as one array; a missing value becomes NaN and is named later."""
    arrays = [_column(table.column(i)) for i in range(len(where.columns))]
    return np.column_stack(arrays) if arrays else np.empty((0, 0))


def _column(column: Any) -> np.ndarray:
    values = column.to_numpy()
    if values.dtype == object:  # booleans with missing values
        return values.astype(np.float64)
    return values.astype(np.uint8) if values.dtype == bool else values
