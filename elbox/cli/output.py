"""What commands print and write: tables, JSON, arrays and pictures."""

from __future__ import annotations

__all__ = [
    "ARRAYS",
    "Add",
    "check_target",
    "print_json",
    "print_table",
    "say",
    "write_array",
    "write_images",
    "writing",
]

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from elbox.errors import DataError, RunError
from elbox.runs import Run
from elbox.train.checkpoint import write_bytes

ARRAYS = (".npy", ".npz", ".csv", ".parquet")

Add = Callable[[Tensor | np.ndarray], None]  # some rows, after others
_Add = Callable[[np.ndarray], None]


def say(text: str, *, quiet: bool = False) -> None:
    """One line for people, unless they asked for quiet."""
    if not quiet:
        print(text, flush=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), flush=True)


def print_table(title: str, columns: list[str], rows: Sequence[tuple[str, ...]]) -> None:
    """A small table; plain aligned text where standard output is no terminal."""
    from rich.console import Console
    from rich.table import Table

    if title:
        say(title)
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="dim")
    for i, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=i == 0)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def check_target(path: Path, kinds: tuple[str, ...]) -> None:
    """Refuse an output of unknown kind before any work is done."""
    if path.suffix.lower() not in kinds:
        raise RunError(f"got --out {path}; expected a name that ends in {', '.join(kinds)}")
    if not path.absolute().parent.is_dir():
        raise RunError(f"got --out {path}; expected its folder to exist: make {path.absolute().parent} first")


def write_array(path: Path, array: Tensor | np.ndarray, columns: str | Sequence[str] = "x") -> None:
    """Write rows as .npy, .npz (key `columns`), .csv or .parquet (a column for each flattened dimension), atomically.

    Raises:
        RunError: if the name has another ending.
        DataError: if pyarrow is missing for .parquet.
    """
    with writing(path, len(array), columns) as add:
        add(array)


@contextmanager
def writing(path: Path, n: int, columns: str | Sequence[str] = "x") -> Iterator[Add]:
    """Write n rows in parts, as `write_array` does: inside the block, call what it gives with some rows after others.

    The file appears when the block has ended well; whatever happens before, what was there stays as it was. A `.npz`
    file is written in one part.

    Raises:
        RunError: if the name has another ending, or the file cannot be written.
        DataError: if pyarrow is missing for .parquet.
    """
    check_target(path, ARRAYS)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            with _FORMATS[path.suffix.lower()](file, n, columns) as add:
                yield lambda rows: add(rows.detach().cpu().numpy() if isinstance(rows, Tensor) else rows)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(
            f"could not write {path} ({error.strerror or error}); nothing was half-written; free space or choose "
            "another --out"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _npy(file: BinaryIO, n: int, columns: str | Sequence[str]) -> Iterator[_Add]:
    """A header for n rows, then the rows."""

    def add(rows: np.ndarray) -> None:
        if not file.tell():
            header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False}
            np.lib.format.write_array_header_1_0(file, header | {"shape": (n, *rows.shape[1:])})
        file.write(np.ascontiguousarray(rows).data)

    yield add


@contextmanager
def _npz(file: BinaryIO, n: int, columns: str | Sequence[str]) -> Iterator[_Add]:
    arrays: dict[str, Any] = {}
    yield lambda rows: arrays.update({columns if isinstance(columns, str) else "x": rows})
    np.savez_compressed(file, **arrays)


@contextmanager
def _csv(file: BinaryIO, n: int, columns: str | Sequence[str]) -> Iterator[_Add]:
    def add(rows: np.ndarray) -> None:
        flat, names = _table(rows, columns)
        header = "" if file.tell() else ",".join(names)
        np.savetxt(file, flat, delimiter=",", header=header, comments="", fmt="%.9g")

    yield add


@contextmanager
def _parquet(file: BinaryIO, n: int, columns: str | Sequence[str]) -> Iterator[_Add]:
    """A row group for each part."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            'got a .parquet file to write, which needs pyarrow; run: pip install "elbox[tables]", or write a .csv file'
        ) from None
    with ExitStack() as stack:
        writers: list[Any] = []

        def add(rows: np.ndarray) -> None:
            flat, names = _table(rows, columns)
            table = pyarrow.table({name: flat[:, i] for i, name in enumerate(names)})
            if not writers:
                writers.append(stack.enter_context(pyarrow.parquet.ParquetWriter(file, table.schema)))
            writers[0].write_table(table)

        yield add


_FORMATS: dict[str, Callable[[BinaryIO, int, str | Sequence[str]], AbstractContextManager[_Add]]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _table(values: np.ndarray, columns: str | Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Rows with one column for each flattened dimension, and the columns' names."""
    flat = values.reshape(len(values), -1)
    if not isinstance(columns, str):
        return flat, list(columns)
    return flat, [columns] if flat.shape[1] == 1 else [f"{columns}{i}" for i in range(flat.shape[1])]


def write_images(path: Path, images: Tensor, run: Run, columns: int | None = None) -> None:
    """Write examples [N, *event] as one PNG grid of images, or as an array where the name says so.

    Arguments:
        path: Where to.
        images: Examples in the units of the data.
        run: Their run: what an example is, and the names of a table's columns.
        columns: Images in a row.
    """
    if path.suffix.lower() in ARRAYS:
        return write_array(path, images, run.info["columns"] or "x")
    spec = run.spec
    check_target(path, (".png", *ARRAYS) if spec.is_image else ARRAYS)
    from elbox.report import grid_png, pixels

    write_bytes(path, grid_png(pixels(images, spec), columns=columns))
