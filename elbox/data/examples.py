"""New data for a trained model: checked against its spec, and binarised as its training data were."""

from __future__ import annotations

__all__ = ["as_examples"]

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elbox.data.binarise import Protocol
from elbox.data.checks import as_rows, check_finite, check_support, is_binary, numeric
from elbox.data.files import read_file
from elbox.data.kinds import resident
from elbox.data.raw import Raw, Where
from elbox.errors import DataError
from elbox.spec import DataSpec


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
    raw = _read(x, spec, where)
    raw = _ordered(raw, columns)
    rows = _shaped(raw.x, spec, raw.where)
    check_finite(rows, raw.where)
    advice = "bring the new data into the form of the training data"
    if spec.kind == "binary" and protocol is not None and protocol.kind != "none" and not is_binary(rows):
        check_support(rows, "levels", protocol.levels, raw.where, advice=advice)
        rows = protocol.binarise(rows)
    check_support(rows, spec.kind, spec.levels, raw.where, advice=advice)
    return torch.from_numpy(np.array(resident(rows, spec.kind, spec.levels)))


def _read(x: Any, spec: DataSpec, where: str) -> Raw:
    """Arrays from an object or a path."""
    if isinstance(x, (str, os.PathLike)):
        size = spec.event_shape[1:]
        if not (spec.is_image and Path(x).expanduser().is_dir()):
            return read_file(x)
        channels = spec.event_shape[0] if spec.event_shape[0] in (1, 3) else None
        return read_file(x, size=(size[0], size[1]), channels=channels)
    names = tuple(str(c) for c in getattr(x, "columns", ()))
    place = Where(where, names)
    return Raw(numeric(x, place), None, place)


def _ordered(raw: Raw, columns: Sequence[str]) -> Raw:
    """The table with its columns in the order of training; columns without names are taken to be in order."""
    here = raw.where.columns
    if not columns or not here or tuple(columns) == here:
        return raw
    missing = [c for c in columns if c not in here]
    if missing:
        raise DataError(
            f"got {raw.where.name} without the column {missing[0]!r}; expected the columns {', '.join(columns)}; add it"
        )
    order = [here.index(c) for c in columns]
    return replace(raw, x=raw.x[:, order], where=replace(raw.where, columns=tuple(columns)))


def _shaped(x: np.ndarray, spec: DataSpec, where: Where) -> np.ndarray:
    """Rows [N, *event]."""
    event = spec.event_shape
    if x.shape == event:
        return x[None]
    if x.size and x.ndim == 2 and x.shape[1] == spec.dims:
        return x.reshape(-1, *event)
    rows = as_rows(x, where)
    if rows.shape[1:] != event:
        expected = f"[N, {', '.join(str(n) for n in event)}]"
        raise DataError(
            f"got an array of shape {x.shape} in {where.name}; expected {expected} as in training; reshape, crop or "
            "resize it"
        )
    return rows
