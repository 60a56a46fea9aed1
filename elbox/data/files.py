"""The user's own files: `.npy`, `.npz`, `.csv` and `.parquet` tables of numbers; folders of images are in `folder`.

Nothing here runs code that a file holds: arrays are read without pickle.
"""

from __future__ import annotations

__all__ = ["FORMATS", "read_file"]

import contextlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elbox.data.checks import numeric
from elbox.data.folder import read_folder
from elbox.data.memory import check_memory
from elbox.data.raw import Raw, Where
from elbox.data.text import read_csv
from elbox.errors import DataError, SettingError

FORMATS = (".npy", ".npz", ".csv", ".tsv", ".parquet")


def read_file(path: str | os.PathLike[str], *, size: tuple[int, int] | None = None, channels: int | None = None) -> Raw:
    """Whatever `path` holds, by its suffix, or a folder of images.

    Arguments:
        path: File or folder.
        size: Height and width that the images of a folder are resized to.
        channels: 1 (grey) or 3 (RGB) to convert the images of a folder to; None for what most of them are.

    Raises:
        DataError: if there is nothing there, the format is unknown, the content is damaged or not numbers, or does not
            fit into memory.
    """
    place = Path(path).expanduser()
    name = os.fspath(path)
    if not place.exists():
        raise DataError(f"got {name}, which does not exist; expected a file or a folder of images; check the path")
    if place.is_dir():
        return read_folder(place, name, size=size, channels=channels)
    readers = {".npy": _npy, ".npz": _npz, ".csv": read_csv, ".tsv": read_csv, ".parquet": _parquet}
    reader = readers.get(place.suffix.lower())
    if reader is None:
        raise DataError(
            f"got {name}; expected {', '.join(FORMATS)} or a folder of images; save the data in one of these"
        )
    if size is not None:
        raise SettingError(f"got size={size} with {name}; expected a folder of images for size; leave size out")
    return reader(place, name)


def _npy(path: Path, name: str) -> Raw:
    """One array. It is mapped, not read: rows are copied once, when the splits are made."""
    try:
        x = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(_damaged(name, error)) from error
    check_memory(2 * x.size * min(x.itemsize, 4), path.stat().st_size, name)
    where = Where(name)
    return Raw(numeric(x, where), None, where)


def _damaged(name: str, error: Exception) -> str:
    """Message for a file that numpy refuses."""
    if "pickle" in str(error).lower() or "Python objects" in str(error):
        return f"got Python objects in {name}; expected an array of numbers, elbox runs no pickle; save plain numbers"
    reason = str(error).splitlines()[0] if str(error) else "empty file"
    return f"got {name}, which numpy cannot read ({reason}); expected a whole .npy or .npz file; save it again"


def _npz(path: Path, name: str) -> Raw:
    """Arrays `x` and perhaps `y`; or `x_train`, `x_test`, perhaps `x_valid`, and their `y_…`; or a single array."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
        parts = _parts(list(sizes), name)
        check_memory(2 * sum(sizes[key] for key, _ in parts.values()), path.stat().st_size, name)
        with np.load(path, allow_pickle=False) as z:
            arrays = {
                part: (numeric(z[x], Where(f"{name}[{x}]")), z[y] if y else None) for part, (x, y) in parts.items()
            }
    except DataError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(_damaged(name, error)) from error
    return _joined(arrays, Where(name))


def _parts(keys: Sequence[str], name: str) -> dict[str, tuple[str, str | None]]:
    """Split → its keys for x and y (`all` for an array that is still to be split)."""
    low = {key.lower(): key for key in keys}
    train, test = low.get("x_train"), low.get("x_test")
    if "x" in low and train is None:
        return {"all": (low["x"], low.get("y"))}
    if train and test and "x" not in low:
        valid = next((low[k] for k in ("x_valid", "x_val") if k in low), None)
        found = {"train": train, "valid": valid, "test": test}
        return {part: (key, low.get("y" + key.lower()[1:])) for part, key in found.items() if key}
    if len(keys) == 1:
        return {"all": (keys[0], None)}
    raise DataError(
        f"got the arrays {', '.join(keys) or 'none at all'} in {name}; expected x (and y for labels), or x_train and "
        "x_test (and x_valid, y_train, …), or a single array; rename them"
    )


def _joined(arrays: dict[str, tuple[np.ndarray, np.ndarray | None]], where: Where) -> Raw:
    """The parts as one array, with the rows of each part where there are several."""
    if "all" in arrays:
        return Raw(arrays["all"][0], arrays["all"][1], where)
    shapes = {part: x.shape[1:] for part, (x, _) in arrays.items()}
    if len(set(shapes.values())) > 1:
        got = ", ".join(f"x_{part} {shape}" for part, shape in shapes.items())
        raise DataError(
            f"got examples of different shapes in {where.name}: {got}; expected one shape for all; crop, pad or resize "
            "them first"
        )
    ends = np.cumsum([len(x) for x, _ in arrays.values()])
    rows = np.split(np.arange(ends[-1]), ends[:-1])
    labels = [y for _, y in arrays.values() if y is not None]
    if labels and len(labels) < len(arrays):
        raise DataError(
            f"got labels for some splits of {where.name} only; expected y_… for every x_…, or none; add or remove them"
        )
    x = np.concatenate([x for x, _ in arrays.values()])
    return Raw(x, np.concatenate(labels) if labels else None, where, indices=dict(zip(arrays, rows, strict=True)))


def _parquet(path: Path, name: str) -> Raw:
    """A table whose columns are all numbers; an index that pandas wrote is left out."""
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataError(
            f'got {name}, and reading .parquet needs pyarrow; expected it installed; pip install "elbox[tables]"'
        ) from error
    try:
        file = pq.ParquetFile(path)
        columns = [c for c in file.schema_arrow.names if not c.startswith("__index_level_")]
        check_memory(16 * file.metadata.num_rows * len(columns), path.stat().st_size, name)
        table = file.read(columns=columns)
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"got {name}, which pyarrow cannot read ({str(error).splitlines()[0]}); expected a whole .parquet file; "
            "save it again"
        ) from error
    where = Where(name, tuple(columns))
    arrays = [_column(table.column(i), columns[i], where) for i in range(len(columns))]
    return Raw(np.column_stack(arrays) if arrays else np.empty((0, 0)), None, where)


def _column(column: Any, title: str, where: Where) -> np.ndarray:
    """One column as numbers; a missing value becomes NaN and is named later."""
    with contextlib.suppress(ValueError, TypeError):
        values = column.to_numpy()
        if values.dtype.kind in "biuf":
            return values.astype(np.uint8) if values.dtype == bool else values
    raise DataError(
        f"got column {title!r} of type {column.type} in {where.name}; expected numbers; drop it or encode it as numbers"
    )
