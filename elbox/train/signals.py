"""Ctrl-C and SIGTERM end a run at the end of a step, when its state is whole."""

from __future__ import annotations

__all__ = ["Interrupts"]

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """A context in which a first SIGINT or SIGTERM only sets `requested`, and a second aborts at once.

    Signal handlers belong to the main thread: in any other, this does nothing.

    Arguments:
        echo: Seconds within which a second signal is still the first: launchers hand on a Ctrl-C that their processes
            got from the terminal, too.
    """

    def __init__(self, echo: float = 0.0) -> None:
        self.echo = echo
        self.requested: str | None = None
        self._since = 0.0
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
        if self.requested is None:
            self.requested, self._since = signal.Signals(number).name, time.monotonic()
        elif time.monotonic() >= self._since + self.echo:
            raise KeyboardInterrupt
