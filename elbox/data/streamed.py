"""From rows on disk to a `Data` whose training rows stay there: one pass checks every value and gathers what a model
must know; the held-out rows are kept in memory.

The pass reads chunks of a few megabytes in the order of the file. Under static and threshold binarisation a second pass
takes the moments of the binarised values. Kind, levels, offset and scale are those that the same rows get in memory,
from the same code.

Held-out rows are small blocks spread evenly over the file, one at random in each stretch of it, so that a file sorted
by class is split fairly and the training rows can still be read in long stretches.
"""

from __future__ import annotations

__all__ = ["build_streamed", "held_out_blocks"]

import hashlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from elbox.data.build import choose_kind, choose_protocol, describe
from elbox.data.checks import as_rows, check_finite, check_support
from elbox.data.folder import ImageFolder
from elbox.data.kinds import MOST_LEVELS, codes, is_bytes
from elbox.data.raw import Where
from elbox.data.rows import Form, Rows
from elbox.data.scan import Facts, Moments, rows_within
from elbox.data.source import Source
from elbox.data.splits import Data, Split
from elbox.errors import DataError

HELD_OUT_ROWS, HELD_OUT_BYTES = 10_000, 1 << 27  # at most, each of validation and test
BLOCKS = 250  # blocks of each held-out split, at least, where there are as many rows
CHUNK = 1 << 22  # bytes that are looked at together


@dataclass
class Found:
    """What the pass over all rows gathers."""

    facts: Facts
    moments: Moments = field(default_factory=Moments)  # of training rows
    kept: dict[int, np.ndarray] = field(default_factory=dict)  # held-out blocks by the number of their first row
    crc: int = 0


def build_streamed(source: Source, record: dict[str, Any]) -> Data:
    """A checked and split data set whose training rows are read when they are needed.

    Arguments:
        source: The rows.
        record: What `Data.source` says of them: name, path and options.
    """
    options, where = record["options"], source.where
    layout = partial(as_rows, where=where, kind=options.get("kind"))
    event = layout(np.broadcast_to(source.dtype.type(0), source.shape)).shape[1:]  # refuses an empty source, too
    if isinstance(source, ImageFolder):
        source.warn()
    row_bytes = math.prod(event) * min(source.dtype.itemsize, 4)
    blocks = held_out_blocks(len(source), row_bytes, options["seed"], where)
    found = _look(source, _between(blocks, len(source)), options, 1 + len(event))
    kind, levels = choose_kind(found.facts, options, None, 0)
    protocol = choose_protocol(options, kind, levels, where)
    form = Form(event, is_bytes(kind, levels, found.facts.high), layout=layout)
    fixed = form if protocol.kind == "none" else replace(form, small=True, protocol=protocol)
    rows = Rows(source, form if protocol.kind == "dynamic" else fixed, _between(blocks, len(source)))
    if protocol.kind in ("static", "threshold"):
        kind, levels, found.moments = "binary", 0, _moments(rows)
    y, names = _labels(source)
    spec = describe(found.moments, event, kind, levels, len(names), protocol, where)
    indices = {part: _shuffled(spans, options["seed"]) for part, spans in blocks.items()}
    held = {part: _held(found.kept, blocks[part], indices[part], fixed, y) for part in blocks}
    others = None if y is None else torch.from_numpy(np.delete(y, np.concatenate(list(indices.values()))))
    notes = {"fingerprint": _fingerprint(source, found, y, indices), "protocol": protocol.to_json()}
    return Data(
        spec, Split(rows, others), **held, prepare=protocol.prepare(), protocol=protocol.describe(spec),
        source={**record, **source.notes, **notes}, indices=indices, class_names=names, columns=where.columns,
    )  # fmt: skip


def held_out_blocks(n: int, row_bytes: int, seed: int, where: Where) -> dict[str, np.ndarray]:
    """First and last-but-one row number [K, 2] of the blocks for validation and for testing.

    A tenth of the rows each, but at most 10 000 and 128 MiB.

    Arguments:
        n: Number of rows.
        row_bytes: Bytes of one row as it is stored.
        seed: Seed of the draw.
        where: Names for messages.

    Raises:
        DataError: if there are too few rows.
    """
    if n < 3:
        raise DataError(
            f"got {n} rows in {where.name}; expected at least 3 to split into train, validation and test; add data"
        )
    held = max(1, min(round(n / 10), HELD_OUT_ROWS, HELD_OUT_BYTES // max(1, row_bytes)))
    block = max(1, held // BLOCKS)
    count = 2 * (held // block)
    rng = np.random.Generator(np.random.PCG64(seed))
    edges = np.arange(count + 1) * (n // block) // count  # of stretches, in blocks
    starts = block * (edges[:-1] + rng.integers(0, np.diff(edges)))
    side = rng.permuted(np.tile([0, 1], (count // 2, 1)), axis=1).reshape(-1)  # of two neighbours one goes to each
    spans = np.stack([starts, starts + block], axis=1)
    return {"valid": spans[side == 0], "test": spans[side == 1]}


def _between(blocks: dict[str, np.ndarray], n: int) -> np.ndarray:
    """The stretches of rows outside the blocks, [S, 2] in order."""
    starts, stops = np.sort(np.concatenate(list(blocks.values())), axis=0).T
    spans = np.stack([np.append(0, stops), np.append(starts, n)], axis=1)
    return spans[spans[:, 0] < spans[:, 1]]


def _look(source: Source, spans: np.ndarray, options: dict[str, Any], ndim: int) -> Found:
    """The one pass: every value is checked, training rows are measured, held-out rows are kept."""
    found = Found(Facts(ndim, source.dtype if source.dtype != bool else np.dtype(np.uint8)))
    kind = options.get("kind") or ("levels" if "levels" in options else "real")
    for start, stop, training in _pieces(source, spans):
        x, where = source.read(start, stop), source.where.after(start)
        found.crc = zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8).data, found.crc)
        rows = as_rows(x, where, options.get("kind"))
        check_finite(rows, where)
        check_support(rows, kind, options.get("levels", MOST_LEVELS), where)
        found.facts.add(rows)
        if training:
            found.moments.add(rows if rows.dtype == np.uint8 else rows.astype(np.float32))
        else:
            found.kept[start] = x
    return found


def _pieces(source: Source, spans: np.ndarray) -> Iterator[tuple[int, int, bool]]:
    """All rows in order, in pieces of a few megabytes that are either of training or held out."""
    most = rows_within(CHUNK // source.dtype.itemsize, source.shape)
    end = 0
    for first, last in [*((int(a), int(b)) for a, b in spans), (len(source), len(source))]:
        if end < first:
            yield end, first, False
        for start in range(first, last, most):
            yield start, min(start + most, last), True
        end = last


def _moments(rows: Rows) -> Moments:
    """Moments of rows as they are stored."""
    found, most = Moments(), rows_within(CHUNK, rows.shape)
    for start in range(0, len(rows), most):
        found.add(rows[start : start + most].numpy())
    return found


def _labels(source: Source) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Codes of the classes and their names."""
    if source.y is None:
        return None, ()
    if source.class_names:
        return np.asarray(source.y).astype(np.int64), source.class_names
    return codes(source.y, len(source), source.where)


def _shuffled(blocks: np.ndarray, seed: int) -> np.ndarray:
    """Row numbers of all blocks in random order: whoever looks at the first few sees all parts of the file."""
    rows = np.concatenate([np.arange(a, b) for a, b in blocks])
    return np.random.Generator(np.random.PCG64(seed)).permutation(rows)


def _held(
    kept: dict[int, np.ndarray], blocks: np.ndarray, order: np.ndarray, form: Form, y: np.ndarray | None
) -> Split:
    """A held-out split, in memory."""
    numbers = np.concatenate([np.arange(a, b) for a, b in blocks])
    values = np.concatenate([form(_kept(kept, int(a), int(b)), int(a)) for a, b in blocks])
    x = values[np.searchsorted(numbers, order)]
    return Split(torch.from_numpy(x), None if y is None else torch.from_numpy(y[order]))


def _kept(kept: dict[int, np.ndarray], start: int, stop: int) -> np.ndarray:
    """Rows of one block, which may have been read together with the block before."""
    first = max(k for k in kept if k <= start)
    return kept[first][start - first : stop - first]


def _fingerprint(source: Source, found: Found, y: np.ndarray | None, indices: dict[str, np.ndarray]) -> str:
    """A hash of the checksum over all values as they are found, of labels and of the splits."""
    digest = hashlib.blake2b(f"{source.dtype.str}{source.shape}{found.crc:08x}".encode(), digest_size=16)
    for array in (y, *indices.values()):
        if array is not None:
            digest.update(np.ascontiguousarray(array, np.int64).data)
    return digest.hexdigest()
