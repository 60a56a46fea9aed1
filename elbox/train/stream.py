r"""Training data that do not fit into memory: read in blocks, shuffled in a buffer, cut into batches.

In epoch e the blocks of rows are put into an order drawn from (seed, e). A block is what is cheap to read together: a
row group of a `.parquet` file, whatever its size; of other data, whose rows can be read from anywhere, 1 MiB at most.
This sequence of rows is cut into buffers of a whole number of batches, and the rows of buffer k are permuted by a draw
from (seed, e, k). One thread reads the next buffer while batches are cut from the present one, so that at most two are
in memory. Sizes depend on the data and the settings only: batch number `step` is a function of (seed, step), as in
`elbox.train.batches`.

Every row is in at most one batch of an epoch. The rows that are left over, fewer than a batch, are a random part of the
last buffer.
"""

from __future__ import annotations

__all__ = ["Examples", "Stream", "check_part"]

import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from elbox.errors import ElboxError, RunError, SettingError

BUFFER_BYTES, BUFFER_ROWS = 1 << 28, 1 << 20  # at most; fixed, because they decide which row is in which batch
BLOCK_BYTES = 1 << 20
BLOCKS = 64  # in a buffer, at least, as long as rows are smaller than a block

Buffer = tuple[Tensor, Tensor]  # rows, and the order in which they are used


@runtime_checkable
class Examples(Protocol):
    """Rows on disk: slices are tensors in memory, read at once, in whichever thread asks."""

    @property
    def shape(self) -> torch.Size:
        """[N, *event]."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the values."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice) -> Tensor: ...

    def edges(self, most: int) -> np.ndarray:
        """Where blocks begin that are cheap to read, of at most `most` rows if any are as cheap as others, and N."""


class Stream:
    """Batches of rows that stay on disk, with the interface of `elbox.train.batches.Batches`.

    Arguments:
        rows: Examples [N, *event].
        batch_size: Examples in a global batch.
        seed: Seed ≥ 0 of the order.
        device: Where batches are delivered; bytes become floats there.
        part: Rank r and world size w: this process gets rows r, r + w, … of every global batch. It reads all rows, of
            which its own lie scattered in every block.
        buffer: Bytes of a buffer at most; another number gives other batches.

    Raises:
        SettingError: if the batch cannot be shared by that many processes.
    """

    def __init__(
        self,
        rows: Examples,
        batch_size: int,
        seed: int,
        device: torch.device,
        part: tuple[int, int] = (0, 1),
        *,
        buffer: int = BUFFER_BYTES,
    ) -> None:
        self.rows, self.seed, self.device, self.part = rows, seed, device, part
        self.size = min(batch_size, len(rows))
        check_part(self.size, part)
        row = math.prod(rows.shape[1:]) * rows.dtype.itemsize
        most = max(1, min(buffer // max(1, row), BUFFER_ROWS) // self.size)  # batches in a buffer
        self.buffers = math.ceil(len(self) / most)
        self._batches = math.ceil(len(self) / self.buffers)
        block = max(1, min(BLOCK_BYTES // max(1, row), self._batches * self.size // BLOCKS))
        self._edges = rows.edges(block)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="elbox-stream")
        self._now: tuple[int, Buffer] | None = None
        self._next: tuple[int, Future[Buffer]] | None = None

    def __len__(self) -> int:
        return max(1, len(self.rows) // self.size)

    def at(self, step: int) -> Tensor:
        """The batch [B, *event] of step number `step`, counted from 0 over the whole run; this process's share of it.

        Raises:
            DataError: if rows cannot be read.
            RunError: if there is not the memory for a buffer.
        """
        epoch, position = divmod(step, len(self))
        k, position = divmod(position, self._batches)
        rows, order = self._buffer(epoch * self.buffers + k)
        rank, world = self.part
        batch = rows.index_select(0, order[position * self.size : (position + 1) * self.size][rank::world])
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        return batch.to(self.device, non_blocking=True)

    def close(self) -> None:
        """Stop reading ahead."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._now = self._next = None

    def _buffer(self, number: int) -> Buffer:
        """Buffer `number`, counted over the whole run; the one after it is read meanwhile."""
        if self._now is None or self._now[0] != number:
            self._now = None
            self._now = number, self._wait(number)
            self._next = number + 1, self._worker.submit(self._load, number + 1)
        return self._now[1]

    def _wait(self, number: int) -> Buffer:
        waiting, self._next = self._next, None
        if waiting is None or waiting[0] != number:
            if waiting is not None and not waiting[1].cancel():
                waiting[1].exception()  # a buffer that is not wanted: its reading ends before another begins
            waiting = number, self._worker.submit(self._load, number)
        try:
            return waiting[1].result()
        except ElboxError:
            raise
        except (MemoryError, RuntimeError, OSError) as error:
            first = str(error).strip().partition("\n")[0] or type(error).__name__
            raise RunError(
                f"got an error while training data were read ({first}); expected room for two buffers of "
                f"{BUFFER_BYTES >> 20} MiB, and data that stay where they are; free memory or restore them, then resume"
            ) from error

    def _load(self, number: int) -> Buffer:
        """Rows of one buffer as they were read, and the order in which they are used.

        NumPy copies them: a copy by torch would start OpenMP threads for this thread too, and with more of them than
        cores OpenMP puts those of the training step to sleep at every barrier (a step took 8.0 instead of 5.1 ms).
        """
        epoch, k = divmod(number, self.buffers)
        first = k * self._batches * self.size
        last = len(self.rows) if k == self.buffers - 1 else first + self._batches * self.size
        out = torch.empty((last - first, *self.rows.shape[1:]), dtype=self.rows.dtype)
        done = 0
        for start, stop in self._stretches(epoch, first, last):
            out.numpy()[done : done + stop - start] = self.rows[start:stop].numpy()
            done += stop - start
        return out, torch.from_numpy(_generator(self.seed, epoch, k).permutation(last - first))

    def _stretches(self, epoch: int, first: int, last: int) -> list[tuple[int, int]]:
        """Neighbouring rows to be read for places first … last − 1 of the epoch's sequence of blocks."""
        order = _generator(self.seed, epoch).permutation(len(self._edges) - 1)
        starts, stops = self._edges[:-1][order], self._edges[1:][order]
        ends = np.cumsum(stops - starts)
        begins = ends - (stops - starts)
        found = np.flatnonzero((ends > first) & (begins < last))
        cut = [(max(0, first - int(begins[i])), max(0, int(ends[i]) - last)) for i in found]
        return [(int(starts[i]) + head, int(stops[i]) - tail) for i, (head, tail) in zip(found, cut)]


def check_part(size: int, part: tuple[int, int]) -> None:
    """Refuse a batch that processes cannot share evenly.

    Raises:
        SettingError: if there is no such process, or it is so.
    """
    rank, world = part
    if not 0 <= rank < world or size % world:
        raise SettingError(
            f"got a batch of {size} examples for {world} devices; expected a multiple of {world}; use "
            f"batch_size={max(1, size // world) * world}"
        )


def _generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
