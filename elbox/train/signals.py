"""Ctrl-C and SIGTERM end a run at the end of a step, when its state is whole."""

from __future__ import annotations

__all__ = ["Interrupts"]

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """A context in which a first SIGINT or SIGTERM only sets `requested`, and a second aborts at once.

    Signal handlers belong to the main thread: in any other, this does nothing.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._previous = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name
