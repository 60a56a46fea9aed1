"""From a name, a path or an array to a `Data`: read, check, split, binarise, describe."""

from __future__ import annotations

__all__ = ["from_array", "load", "reload"]

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from elbox.data.binarise import PROTOCOLS
from elbox.data.build import build
from elbox.data.catalogue import CATALOGUE, read_catalogue
from elbox.data.checks import numeric
from elbox.data.files import open_file, whole
from elbox.data.kinds import MOST_LEVELS
from elbox.data.memory import fits
from elbox.data.raw import Raw, Where
from elbox.data.splits import Data
from elbox.data.streamed import build_streamed
from elbox.errors import DataError, SettingError
from elbox.spec import KINDS

SPLIT = (0.8, 0.1, 0.1)


def load(
    name_or_path: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    binarise: str | None = None,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    kind: str | None = None,
    levels: int | None = None,
    stream: bool | None = None,
    fits: Callable[[int], bool] = fits,
) -> Data:
    """Data by catalogue name, or from the user's own file or folder of images.

    A catalogue name wins over a file of the same name; `./digits` is always a path. Where the source has no split of
    its own, 80 % of the rows at random are for training, 10 % for validation, 10 % for testing.

    Data that do not fit into memory are streamed: the training rows stay on disk, and of the held-out splits each has
    10 % of the rows, at most 10 000 and 128 MiB. `.npy` and `.parquet` files, folders of either, and folders of images
    can be streamed.

    Arguments:
        name_or_path: A name in `elbox.data.CATALOGUE`; or a `.npy`, `.npz`, `.csv`, `.tsv` or `.parquet` file; or a
            folder of `.npy` files, of `.parquet` files, or of images.
        data_dir: Folder of catalogue files; None for the environment variable ELBOX_DATA.
        binarise: `"static"`, `"dynamic"` or `"threshold"` to make grey levels binary (see `elbox.data.binarise`), or
            None.
        seed: Seed of random splits, of binarisation, and of synthetic sets.
        size: Height and width that images of a folder are resized to; one number for a square.
        kind: Kind of values (see `DataSpec`) instead of the inferred one.
        levels: Number of levels, instead of the inferred number.
        stream: Stream the data, or do not; None streams what does not fit into memory.
        fits: Whether so many bytes fit into memory; processes that load the same data must agree about it.

    Raises:
        DataError: in one sentence, what is wrong with which file and row, and what to do.
        SettingError: if an option is unknown or impossible.

    Example:
        >>> print(load("digits").describe())
        digits: 1437 train / 180 validation / 180 test, 1×8×8, levels 0…16
    """
    given = os.fspath(name_or_path)
    options = _options(binarise=binarise, seed=seed, kind=kind, levels=levels)
    height_width = _size(size)
    if given in CATALOGUE:
        if size is not None:
            raise SettingError(f"got size={size} with {given}; expected a folder of images for size; leave size out")
        if stream:
            raise SettingError(_cannot_stream(given))
        raw = read_catalogue(given, data_dir=None if data_dir is None else os.fspath(data_dir), seed=seed)
        return build(raw, {"from": "catalogue", "name": given, "options": options}, SPLIT)
    _known_or_path(given)
    source = open_file(given, size=height_width)
    options |= {"size": list(height_width)} if height_width else {}
    record = {"from": "file", "name": given, "path": str(Path(given).expanduser().resolve()), "options": options}
    if stream and source is None:
        raise SettingError(_cannot_stream(given))
    if source is None or stream is False or (stream is None and fits(source.need)):
        return build(whole(source, given), record, SPLIT)
    return build_streamed(source, {**record, "options": {**options, "stream": True}})


def _cannot_stream(given: str) -> str:
    return (
        f"got stream=true with {given}; expected a .npy or .parquet file, a folder of either, or a folder of images; "
        "save it as one of these, or leave stream out"
    )


def from_array(
    x: Any,
    y: Any = None,
    *,
    kind: str | None = None,
    levels: int | None = None,
    binarise: str | None = None,
    seed: int = 0,
    split: tuple[float, float, float] = SPLIT,
    name: str = "array",
) -> Data:
    """Data from a numpy array, a torch tensor, a data frame of numbers, or lists of such rows.

    Tables are [N, D]. Images are [N, H, W], [N, C, H, W] or [N, H, W, C] (C ≤ 4, H > 4) and become [N, C, H, W].
    Values stay in their units; float64 becomes float32.

    Arguments:
        x: Values.
        y: Labels [N], whole numbers or text; None without.
        kind: Kind of values (see `DataSpec`); None to infer it, see `elbox.data.kinds.infer_kind`.
        levels: Number of levels; None to infer it.
        binarise: `"static"`, `"dynamic"` or `"threshold"` to make grey levels binary, or None.
        seed: Seed of the split and of binarisation.
        split: Fractions for training, validation and testing; they add up to 1, and the last two may be 0.
        name: Name in messages and descriptions.

    Raises:
        DataError: in one sentence, what is wrong with which row, and what to do.
        SettingError: if an option is unknown or impossible.

    Example:
        >>> import numpy as np
        >>> data = from_array(np.random.default_rng(0).normal(size=(100, 3)), name="heights")
        >>> print(data.describe())
        heights: 80 train / 10 validation / 10 test, 3 columns, real-valued
        >>> data.train.x.dtype, data.spec.event_shape
        (torch.float32, (3,))
    """
    columns = tuple(str(c) for c in getattr(x, "columns", ()))
    where = Where(name, columns)
    options = {**_options(binarise=binarise, seed=seed, kind=kind, levels=levels), "split": list(split)}
    return build(Raw(numeric(x, where), y, where), {"from": "array", "name": name, "options": options}, split)


def reload(
    source: Mapping[str, Any], *, data_dir: str | os.PathLike[str] | None = None, x: Any = None, y: Any = None
) -> Data:
    """The same data again, from a `Data.source`.

    Arguments:
        source: What `Data.source` held.
        data_dir: Folder of catalogue files; None for ELBOX_DATA, else the folder where they were.
        x: The array once more, if the data came from an array.
        y: Its labels.

    Raises:
        DataError: if the data cannot be had again, or are not the same to the bit.

    Example:
        >>> data = load("digits", binarise="threshold")
        >>> bool((reload(data.source).test.x == data.test.x).all())
        True
    """
    missing = [key for key in ("from", "name", "options", "fingerprint") if key not in source]
    if missing:
        raise DataError(
            f"got a data source without {', '.join(missing)}; expected what Data.source holds; load the data by name "
            "or path"
        )
    options, name = dict(source["options"]), str(source["name"])
    if source["from"] == "array":
        if x is None:
            raise DataError(
                f"got a run whose data {name!r} came from an array in memory; expected that array again; pass it as x "
                "(and its labels as y)"
            )
        data = from_array(x, y, name=name, **{**options, "split": tuple(options["split"])})
    elif source["from"] == "file":
        path = str(source.get("path", name))
        options = {"stream": False, **_untuple(options)}  # splits of streamed data are others
        data = load(path if Path(path).exists() else name, **options)
    else:
        data = load(name, data_dir=data_dir or _former_folder(source), **_untuple(options))
    if data.source["fingerprint"] != source["fingerprint"]:
        raise DataError(
            f"got data from {name} that differ from those of the run (fingerprint {data.source['fingerprint']}, "
            f"expected {source['fingerprint']}); expected the same values, labels and splits; restore the file, or "
            "start a new run"
        )
    return replace(data, source={**data.source, "name": name})


def _untuple(options: dict[str, Any]) -> dict[str, Any]:
    """Options as `load` takes them, from JSON."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}


def _former_folder(source: Mapping[str, Any]) -> str | None:
    """The folder that a catalogue file was in, if ELBOX_DATA does not name one and it is still there."""
    path = Path(str(source.get("path", "")))
    return str(path.parent) if "path" in source and "ELBOX_DATA" not in os.environ and path.is_file() else None


def _options(*, binarise: str | None, seed: int, kind: str | None, levels: int | None) -> dict[str, Any]:
    """Checked options, the ones that were given."""
    if binarise is not None and binarise not in PROTOCOLS:
        raise SettingError(
            f"got binarise={binarise!r}; expected one of {', '.join(PROTOCOLS)}, or nothing to leave the values as "
            "they are"
        )
    if kind is not None and kind not in KINDS:
        raise SettingError(f"got kind={kind!r}; expected one of {', '.join(KINDS)}, or nothing to infer it")
    if levels is not None and (not 2 <= levels <= MOST_LEVELS or kind not in (None, "levels")):
        raise SettingError(
            f"got levels={levels} with kind={kind!r}; expected 2 to {MOST_LEVELS} levels of kind 'levels'"
        )
    if seed < 0:
        raise SettingError(f"got seed={seed}; expected a whole number ≥ 0")
    given = {"binarise": binarise, "kind": kind, "levels": levels}
    return {"seed": int(seed), **{key: value for key, value in given.items() if value is not None}}


def _size(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    """Height and width from one number or two."""
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else size
    if len(pair) != 2 or min(pair) < 1:
        raise SettingError(f"got size={size}; expected a height and a width, or one number for both, at least 1")
    return int(pair[0]), int(pair[1])


def _known_or_path(given: str) -> None:
    """Refuse what is neither in the catalogue nor looks like a path, with the nearest name."""
    path = Path(given).expanduser()
    if path.exists() or path.suffix or len(path.parts) > 1 or given.startswith((".", "~")):
        return
    near = difflib.get_close_matches(given, CATALOGUE, n=1)
    raise DataError(
        f"got {given!r}, which is neither a data set nor a file; expected one of {', '.join(CATALOGUE)}, or a path to "
        "a file, or a folder of .npy, .parquet or image files; "
        f"{f'did you mean {near[0]}?' if near else 'check the name'}"
    )
