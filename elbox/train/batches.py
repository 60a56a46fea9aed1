"""Training data cut into batches in an order that is new, but known, in every epoch: here those held in memory as one
tensor, in `elbox.train.stream` those that are too large for it.

The order of epoch e is a permutation drawn from a generator seeded by (seed, e) alone. Nothing has to be remembered to
go on in the middle of an epoch: batch number `step` is a function of (seed, step).

A last batch smaller than the rest is left out, so that all steps have one shape (a compiled step is compiled once) and
one weight; as the next epoch's order is drawn anew, every example is left out equally often. Fewer examples than one
batch make one batch of all of them.
"""

from __future__ import annotations

__all__ = ["Batches", "batches"]

import numpy as np
import torch
from torch import Tensor

from elbox.train.stream import Examples, Stream, check_part


def batches(
    x: Tensor | Examples, batch_size: int, seed: int, device: torch.device, part: tuple[int, int] = (0, 1)
) -> Batches | Stream:
    """Batches of a tensor, or of rows that stay on disk; arguments as those of `Batches`."""
    if isinstance(x, Tensor):
        return Batches(x, batch_size, seed, device, part)
    return Stream(x, batch_size, seed, device, part)


class Batches:
    """Batches of a resident tensor.

    Arguments:
        x: Data [N, *event], kept in its own type (uint8 stays uint8) and moved to the device once, if it fits there.
        batch_size: Examples in a global batch.
        seed: Seed ≥ 0 of the order.
        device: Where batches are delivered.
        part: Rank r and world size w: this process gets rows r, r + w, … of every global batch.

    Raises:
        SettingError: if the batch cannot be shared by that many processes.

    Example:
        >>> batches = Batches(torch.arange(10), batch_size=4, seed=0, device=torch.device("cpu"))
        >>> len(batches), batches.at(0).shape, torch.equal(batches.at(3), batches.at(3))
        (2, torch.Size([4]), True)
    """

    def __init__(
        self, x: Tensor, batch_size: int, seed: int, device: torch.device, part: tuple[int, int] = (0, 1)
    ) -> None:
        self.device, self.seed, self.part = device, seed, part
        self.size = min(batch_size, len(x))
        check_part(self.size, part)
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        try:
            self.x = x.to(device)
        except torch.OutOfMemoryError:  # stays in the host's memory; each batch is then moved on its own
            self.x = x

    def __len__(self) -> int:
        return max(1, len(self.x) // self.size)

    def order(self, epoch: int) -> Tensor:
        """The permutation [N] of epoch number `epoch`, on the device of the data."""
        seed = np.random.SeedSequence((self.seed, epoch)).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(seed >> 1))  # always the CPU's, so every device has one order
        return torch.randperm(len(self.x), generator=generator).to(self.x.device)

    def at(self, step: int) -> Tensor:
        """The batch [B, *event] of step number `step`, counted from 0 over the whole run; this process's share of
        it.
        """
        epoch, position = divmod(step, len(self))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.order(epoch)
        rank, world = self.part
        rows = self._order[position * self.size : (position + 1) * self.size][rank::world]
        return self.x.index_select(0, rows).to(self.device, non_blocking=True)

    def close(self) -> None:
        """Nothing is open."""
