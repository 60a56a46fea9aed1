"""What the steps of an epoch log: written on the device as they come, brought to the host a few hundred at a time.

Reading one number from an accelerator stalls it, so the loop never does. A non-finite loss is therefore seen up to
`CAPACITY` steps late, but its step is known exactly, and nothing computed since has been kept.
"""

from __future__ import annotations

__all__ = ["CAPACITY", "Logs", "NonFinite"]

from dataclasses import dataclass

import torch
from torch import Tensor

from elbox.train.processes import World

CAPACITY = 200


@dataclass(frozen=True)
class NonFinite:
    """Where a loss was first NaN or infinite.

    Arguments:
        step: The step, counted from 1.
        value: The loss.
        terms: The names of the logged terms that were not finite either.
    """

    step: int
    value: float
    terms: tuple[str, ...]


class Logs:
    """The logged values of one epoch's steps; the first is the loss.

    Arguments:
        device: Where the steps run.
        world: The processes of the run; what comes to the host is the mean over them.
    """

    def __init__(self, device: torch.device, world: World | None = None) -> None:
        self.device, self.world = device, world or World()
        self.names: tuple[str, ...] = ()
        self.rows = torch.empty(0, 0)
        self.waiting = 0
        self._buffer = torch.empty(0)

    @property
    def full(self) -> bool:
        """Whether it is time to transfer."""
        return self.waiting == CAPACITY

    def push(self, names: tuple[str, ...], row: Tensor) -> None:
        """Keep the values [n] of one step, on the device."""
        if self._buffer.ndim == 1:
            self.names = names
            self._buffer = torch.empty(CAPACITY, len(row), dtype=row.dtype, device=self.device)
        self._buffer[self.waiting].copy_(row)
        self.waiting += 1

    def transfer(self, step: int) -> NonFinite | None:
        """Bring the waiting rows to the host.

        Arguments:
            step: Number of steps done, of which the last waiting row is the last.
        """
        (new,) = self.world.mean([self._buffer[: self.waiting].to("cpu", copy=True)])
        self.rows = torch.cat([self.rows, new]) if len(self.rows) else new
        first, self.waiting = step - self.waiting + 1, 0
        bad = (~torch.isfinite(new[:, 0])).nonzero()
        if not len(bad):
            return None
        index = int(bad[0])
        values = dict(zip(self.names, new[index].tolist(), strict=True))
        terms = tuple(n for n, ok in zip(self.names, torch.isfinite(new[index]).tolist(), strict=True) if not ok)
        return NonFinite(first + index, values[self.names[0]], tuple(t for t in terms if t != self.names[0]))

    def mean(self, last: int | None = None) -> dict[str, float]:
        """Averages over the epoch's steps so far, or over the `last` of those transferred."""
        rows = self.rows if last is None else self.rows[-last:]
        return dict(zip(self.names, rows.double().mean(0).tolist(), strict=True))

    def clear(self) -> None:
        """Begin a new epoch."""
        self.rows = self.rows[:0]
