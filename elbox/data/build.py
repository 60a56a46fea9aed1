"""From what a reader found to a `Data`: check, split, binarise, describe."""

from __future__ import annotations

__all__ = ["build", "choose_kind", "choose_protocol", "describe"]

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from elbox.data.binarise import Protocol
from elbox.data.checks import as_rows, check_finite, check_support, check_varies
from elbox.data.kinds import MOST_LEVELS, codes, count_levels, kind_of, resident, spec_of
from elbox.data.raw import Raw, Where
from elbox.data.scan import Facts, Moments
from elbox.data.splits import Data, Split, complete_split, random_split
from elbox.errors import DataError
from elbox.spec import DataSpec


def build(raw: Raw, source: dict[str, Any], fractions: tuple[float, float, float]) -> Data:
    """A checked, split and binarised data set from what a reader found."""
    options, where = source["options"], raw.where
    x = as_rows(raw.x, where, options.get("kind"))
    check_finite(x, where)
    kind, levels = choose_kind(Facts.of(x), options, "complex" if raw.x.dtype.kind == "c" else raw.kind, raw.levels)
    check_support(x, kind, levels, where)
    y, names = codes(raw.y, len(x), where)
    if raw.class_names and y is not None:
        y, names = np.asarray(raw.y).astype(np.int64), raw.class_names
    seed = options["seed"]
    indices = complete_split(raw.indices, seed) if raw.indices else random_split(len(x), fractions, seed, where)
    stored = resident(x, kind, levels)
    protocol = choose_protocol(options, kind, levels, where)
    found = {**raw.notes, "fingerprint": _fingerprint(stored, y, indices), "protocol": protocol.to_json()}
    parts, arrays = _parts(stored, y, indices, protocol)
    stored_kind = ("binary", 0) if protocol.kind in ("static", "threshold") else (kind, levels)
    spec = describe(Moments.of(arrays["train"]), stored.shape[1:], *stored_kind, len(names), protocol, where)
    return Data(
        spec, **parts, prepare=protocol.prepare(), protocol=protocol.describe(spec), source={**source, **found},
        indices=indices, class_names=names, columns=where.columns,
    )  # fmt: skip


def choose_kind(facts: Facts, options: dict[str, Any], known: str | None, known_levels: int) -> tuple[str, int]:
    """Kind and levels: what the user says, else what the source knows, else what the values look like."""
    levels = options.get("levels", 0)
    kind = options.get("kind") or ("levels" if levels else known)
    if kind is None:
        return kind_of(facts)
    if kind != "levels":
        return kind, 0
    return kind, levels or known_levels or min(count_levels(facts), MOST_LEVELS)


def describe(
    found: Moments, shape: tuple[int, ...], kind: str, levels: int, classes: int, protocol: Protocol, where: Where
) -> DataSpec:
    """The spec of training rows that vary, as they are stored."""
    name = where.name if protocol.kind == "none" else f"{where.name} after {protocol.kind} binarisation"
    check_varies(found, kind, replace(where, name=name), table=len(shape) == 1)
    return replace(spec_of(found, tuple(int(n) for n in shape), kind, levels, classes, protocol), examples=found.count)


def choose_protocol(options: dict[str, Any], kind: str, levels: int, where: Where) -> Protocol:
    """The protocol that was asked for; only grey levels can be binarised."""
    how = options.get("binarise")
    if how is None:
        return Protocol()
    if kind == "levels":
        return Protocol(how, levels, 0 if how == "threshold" else options["seed"])
    advice = {
        "binary": "leave binarise out, the data are binary already",
        "count": "say kind='levels' and levels=256 if these are grey levels",
    }.get(kind, "convert grey values to whole numbers first, such as (255 * x).round().astype('uint8')")
    raise DataError(
        f"got binarise={how!r} with {kind} values in {where.name}; expected grey levels 0 … L − 1; {advice}"
    )


def _parts(
    stored: np.ndarray, y: np.ndarray | None, indices: dict[str, np.ndarray], protocol: Protocol
) -> tuple[dict[str, Split], dict[str, np.ndarray]]:
    """The splits as tensors and as arrays: binarised, but for training rows that are to be redrawn in every batch."""
    fixed = protocol.binarise(stored)
    arrays = {
        part: (stored if part == "train" and protocol.kind == "dynamic" else fixed)[rows]
        for part, rows in indices.items()
    }
    labels = {part: None if y is None else torch.from_numpy(y[rows]) for part, rows in indices.items()}
    return {part: Split(torch.from_numpy(arrays[part]), labels[part]) for part in indices}, arrays


def _fingerprint(x: np.ndarray, y: np.ndarray | None, indices: dict[str, np.ndarray]) -> str:
    """A hash of values, labels and splits, before binarisation."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (x, y, *indices.values()):
        if array is not None:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).data)
    return digest.hexdigest()
