"""New data for a trained model: checked against its spec, and binarised as its training data were."""

from __future__ import annotations

__all__ = ["as_examples", "open_examples"]

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elbox.data.binarise import Protocol
from elbox.data.checks import as_rows, check_finite, check_support, is_binary, numeric
from elbox.data.files import open_file, whole
from elbox.data.folder import ImageFolder
from elbox.data.kinds import is_bytes, resident
from elbox.data.memory import fits
from elbox.data.raw import Raw, Where
from elbox.data.rows import Form, Rows
from elbox.data.scan import Facts, rows_within
from elbox.data.shards import shards_in
from elbox.data.source import Source
from elbox.errors import DataError
from elbox.spec import DataSpec

_ADVICE = "bring the new data into the form of the training data"
_CHUNK = 1 << 20  # values that are looked at together


def as_examples(
    x: Any, spec: DataSpec, *, where: str = "array", protocol: Protocol | None = None, columns: Sequence[str] = ()
) -> Tensor:
    """Rows that fit a spec, from an array or a file: for scoring, encoding, evaluating on new data.

    Arguments:
        x: Values [N, *event], [N, D] with the D values of an event flattened, or one example; or a path to a file or a
            folder of images, which are resized and converted to the spec's shape.
        spec: Spec of the data that the model was trained on.
        where: Name for messages, if `x` is no path.
        protocol: `Data.binarisation` of the training data: grey levels are then binarised in the same way, the dynamic
            protocol with one draw; values that are all 0 or 1 pass as they are.
        columns: `Data.columns` of the training data: a table whose columns have names is brought into this order.

    Returns:
        Rows [N, *event], uint8 where they are bytes, else float32; `.float()` makes them what the model takes.

    Raises:
        DataError: if shape, columns or values do not fit.

    Example:
        >>> spec = DataSpec((1, 2, 2), "levels", levels=17)
        >>> as_examples([[0, 3, 16, 2]], spec).shape
        torch.Size([1, 1, 2, 2])
    """
    if isinstance(x, (str, os.PathLike)):
        return _checked(whole(_open(x, spec), os.fspath(x)), spec, protocol, columns)
    names = tuple(str(c) for c in getattr(x, "columns", ()))
    place = Where(where, names)
    return _checked(Raw(numeric(x, place), None, place), spec, protocol, columns)


def open_examples(
    path: str | os.PathLike[str],
    spec: DataSpec,
    *,
    protocol: Protocol | None = None,
    columns: Sequence[str] = (),
    stream: bool | None = None,
    fits: Callable[[int], bool] = fits,
) -> Tensor | Rows:
    """Rows that fit a spec, as `as_examples`, from a file or a folder that may be larger than memory.

    Arguments:
        path: A file, or a folder of images or of shards.
        spec: Spec of the data that the model was trained on.
        protocol: `Data.binarisation` of the training data.
        columns: `Data.columns` of the training data.
        stream: Stream the rows, or do not; None streams what does not fit into memory.
        fits: Whether so many bytes fit into memory; processes that load the same data must agree about it.

    Returns:
        A tensor as `as_examples` returns; or, if the rows are streamed, `Rows`, of which slices are such tensors. They
        have been read once by then, and hold no value that does not fit.

    Raises:
        DataError: if shape, columns or values do not fit.
    """
    source = _open(path, spec)
    one_example = source is not None and source.shape == spec.event_shape
    if source is None or one_example or stream is False or (stream is None and fits(source.need)):
        return _checked(whole(source, os.fspath(path)), spec, protocol, columns)
    order = _order(source.where, columns)
    where = source.where if order is None else replace(source.where, columns=tuple(columns))

    def layout(x: np.ndarray) -> np.ndarray:
        return _shaped(x if order is None else x[:, order], spec, where)

    layout(np.broadcast_to(source.dtype.type(0), source.shape))  # refuses rows of the wrong shape
    if isinstance(source, ImageFolder):
        source.warn()
    return _looked_at(source, layout, spec, where, protocol or Protocol())


def _looked_at(
    source: Source, layout: Callable[[np.ndarray], np.ndarray], spec: DataSpec, where: Where, protocol: Protocol
) -> Rows:
    """All rows of a source, once every value has been found to fit."""
    asked = protocol if spec.kind == "binary" else Protocol()
    kind, levels = (spec.kind, spec.levels) if asked.kind == "none" else ("levels", asked.levels)
    facts, most = Facts(1 + len(spec.event_shape), source.dtype), rows_within(_CHUNK, source.shape)
    for start in range(0, len(source), most):
        rows, place = layout(source.read(start, min(start + most, len(source)))), where.after(start)
        check_finite(rows, place)
        check_support(rows, kind, levels, place, advice=_ADVICE)
        facts.add(rows)
    how = Protocol() if facts.binary else asked
    small = is_bytes(spec.kind, spec.levels, facts.high)
    return Rows(source, Form(spec.event_shape, small, how, layout))


def _checked(raw: Raw, spec: DataSpec, protocol: Protocol | None, columns: Sequence[str]) -> Tensor:
    """Rows in memory, once every value has been found to fit."""
    raw = _ordered(raw, columns)
    rows = _shaped(raw.x, spec, raw.where)
    check_finite(rows, raw.where)
    if spec.kind == "binary" and protocol is not None and protocol.kind != "none" and not is_binary(rows):
        check_support(rows, "levels", protocol.levels, raw.where, advice=_ADVICE)
        rows = protocol.binarise(rows)
    check_support(rows, spec.kind, spec.levels, raw.where, advice=_ADVICE)
    return torch.from_numpy(np.array(resident(rows, spec.kind, spec.levels)))


def _open(path: str | os.PathLike[str], spec: DataSpec) -> Source | None:
    """The file or folder; images in the size and the colours of the spec."""
    place = Path(path).expanduser()
    if not (spec.is_image and place.is_dir()):
        return open_file(path)
    height, width = spec.event_shape[1:]
    channels = spec.event_shape[0] if spec.event_shape[0] in (1, 3) else None
    return shards_in(place, os.fspath(path)) or open_file(path, size=(height, width), channels=channels)


def _ordered(raw: Raw, columns: Sequence[str]) -> Raw:
    """The table with its columns in the order of training."""
    order = _order(raw.where, columns)
    if order is None:
        return raw
    return replace(raw, x=raw.x[:, order], where=replace(raw.where, columns=tuple(columns)))


def _order(where: Where, columns: Sequence[str]) -> list[int] | None:
    """Where the columns of training are; None if in that order: columns without names are taken to be so."""
    here = where.columns
    if not columns or not here or tuple(columns) == here:
        return None
    missing = [c for c in columns if c not in here]
    if missing:
        raise DataError(
            f"got {where.name} without the column {missing[0]!r}; expected the columns {', '.join(columns)}; add it"
        )
    return [here.index(c) for c in columns]


def _shaped(x: np.ndarray, spec: DataSpec, where: Where) -> np.ndarray:
    """Rows [N, *event]."""
    event = spec.event_shape
    if x.shape == event:
        return x[None]
    if x.size and x.ndim == 2 and x.shape[1] == spec.dims:
        return x.reshape(-1, *event)
    rows = as_rows(x, where, spec.kind)
    if rows.shape[1:] != event:
        expected = f"[N, {', '.join(str(n) for n in event)}]"
        raise DataError(
            f"got an array of shape {x.shape} in {where.name}; expected {expected} as in training; reshape, crop or "
            "resize it"
        )
    return rows
