"""What commands print and write: tables, JSON, arrays and pictures."""

from __future__ import annotations

__all__ = ["print_json", "print_table", "say", "write_array", "write_images"]

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from elbox.errors import DataError, RunError
from elbox.runs import Run
from elbox.train.checkpoint import write_bytes

ARRAYS = (".npy", ".npz", ".csv", ".parquet")


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
    check_target(path, ARRAYS)
    values = array.detach().cpu().numpy() if isinstance(array, Tensor) else array
    buffer = io.BytesIO()
    if path.suffix.lower() == ".npy":
        np.save(buffer, values, allow_pickle=False)
    elif path.suffix.lower() == ".npz":
        arrays: dict[str, Any] = {columns if isinstance(columns, str) else "x": values}
        np.savez_compressed(buffer, **arrays)
    elif path.suffix.lower() == ".csv":
        flat, names = _table(values, columns)
        np.savetxt(buffer, flat, delimiter=",", header=",".join(names), comments="", fmt="%.9g")
    else:
        _parquet(buffer, values, columns)
    write_bytes(path, buffer.getvalue())


def _parquet(buffer: io.BytesIO, values: np.ndarray, columns: str | Sequence[str]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            'got a .parquet file to write, which needs pyarrow; run: pip install "elbox[tables]", or write a .csv file'
        ) from None
    flat, names = _table(values, columns)
    pyarrow.parquet.write_table(pyarrow.table({name: flat[:, i] for i, name in enumerate(names)}), buffer)


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
