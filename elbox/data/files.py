"""The user's own files: `.npy`, `.npz`, `.csv` and `.parquet` tables of numbers, folders of these or of images.

What can be read in parts (`.npy`, `.parquet`, folders) is a `Source`, of which `elbox.data.rows` streams the rows.

Nothing here runs code that a file holds: arrays are read without pickle.
"""

from __future__ import annotations

__all__ = ["FORMATS", "open_file", "read_file", "whole"]

import os
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from elbox.data.checks import numeric
from elbox.data.folder import ImageFolder
from elbox.data.memory import check_memory
from elbox.data.npy import NpyFile, damaged
from elbox.data.parquet import ParquetFile
from elbox.data.raw import Raw, Where
from elbox.data.shards import shards_in
from elbox.data.source import Source, check_readable
from elbox.data.text import read_csv
from elbox.errors import DataError, SettingError

FORMATS = (".npy", ".npz", ".csv", ".tsv", ".parquet")


def read_file(path: str | os.PathLike[str], *, size: tuple[int, int] | None = None, channels: int | None = None) -> Raw:
    """Whatever `path` holds, in memory.

    Arguments:
        path: File or folder.
        size: Height and width that the images of a folder are resized to.
        channels: 1 (grey) or 3 (RGB) to convert the images of a folder to; None for what most of them are.

    Raises:
        DataError: if there is nothing there, the format is unknown, the content is damaged or not numbers, or does not
            fit into memory.
    """
    return whole(open_file(path, size=size, channels=channels), os.fspath(path))


def open_file(
    path: str | os.PathLike[str], *, size: tuple[int, int] | None = None, channels: int | None = None
) -> Source | None:
    """Whatever `path` holds, ready to be read in parts; None for formats that are read as a whole only.

    Arguments and errors: as `read_file`.
    """
    place, name = Path(path).expanduser(), os.fspath(path)
    if not place.exists():
        raise DataError(
            f"got {name}, which does not exist; expected a file, a folder of .npy or .parquet files, or a folder of "
            "images; check the path"
        )
    check_readable(place, name)
    if not place.is_dir() and place.suffix.lower() not in FORMATS:
        raise DataError(
            f"got {name}; expected {', '.join(FORMATS)} or a folder of .npy, .parquet or image files; save the data in "
            "one of these"
        )
    shards = shards_in(place, name) if place.is_dir() else None
    if size is not None and (shards or not place.is_dir()):
        raise SettingError(f"got size={size} with {name}; expected a folder of images for size; leave size out")
    if place.is_dir():
        return shards or ImageFolder(place, name, size=size, channels=channels)
    readers: dict[str, Callable[[Path, str], Source]] = {".npy": NpyFile, ".parquet": ParquetFile}
    reader = readers.get(place.suffix.lower())
    return reader(place, name) if reader else None


def whole(source: Source | None, name: str) -> Raw:
    """Everything in a source; without one, all of the `.npz`, `.csv` or `.tsv` file of that name."""
    if source is None:
        place = Path(name).expanduser()
        return (_npz if place.suffix.lower() == ".npz" else read_csv)(place, name)
    check_memory(source.need, source.nbytes, name)
    return source.raw()


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
        raise DataError(damaged(name, error)) from error
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
