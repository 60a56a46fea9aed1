"""A contender in a process of its own: no library's threads, settings or memory touch another's.

A contender is a function `train(problem, gate, **options)` that passes over the data again and again, and calls
`gate(weights)` after each pass. The gate holds it until the next round, and measures. So the same steady loop runs in
every round, whichever library owns it.
"""

from __future__ import annotations

__all__ = ["Failed", "Gate", "Stop", "Worker"]

import contextlib
import importlib
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

REST = 0.1  # seconds after a contender's turn, in which its idle threads stop spinning


class Stop(Exception):
    """The gate does not open again."""


class Failed(Exception):
    """A contender could not run; the message says why."""


class Gate:
    """Counts passes, measures seconds, waits for the next order.

    Arguments:
        pipe: Where orders (a number of passes, 0 to end) come from and answers go.
        began: When the process began.
    """

    def __init__(self, pipe: Any, began: float) -> None:
        self.pipe, self.began, self.left, self.first = pipe, began, 1, True
        self.held = 0

    def mark(self) -> None:
        """Memory is counted from here on: what is held now, and what was held before, does not count."""
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
            self.held = _memory("VmRSS")

    def __call__(self, result: Callable[[], dict[str, Any]], note: str = "") -> None:
        """One pass is done. `result` gives weights (or what was computed), and is asked after the first pass only."""
        self.left -= 1
        if self.left:
            return
        seconds = time.perf_counter() - self.began
        peak = _memory("VmHWM") - self.held
        self.pipe.send((seconds, result() if self.first else None, note, peak))
        self.first = False
        self.left = self.pipe.recv()
        if not self.left:
            raise Stop
        self.began = time.perf_counter()


def _memory(name: str) -> int:
    """A number of this process's memory, in bytes; without /proc the most that it ever held."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))
    except OSError:
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _run(pipe: Any, where: str, problem: Any, options: dict[str, Any], quiet: bool) -> None:
    began = time.perf_counter()
    if quiet:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    try:
        module, _, function = where.partition(":")
        getattr(importlib.import_module(module), function)(problem, Gate(pipe, began), **options)
    except Stop:
        pass
    except ImportError as error:
        pipe.send(f"{error}")
    except BaseException as error:
        traceback.print_exc()
        pipe.send(f"{type(error).__name__}: {error}")


class Worker:
    """The parent's side of a contender.

    Arguments:
        where: `module:function` of the contender.
        problem: What it is given.
        options: Further arguments of the function.
        quiet: Whether what it prints is thrown away.

    Raises:
        Failed: from `prepare`, if it cannot run, e.g. because a library is missing.
    """

    def __init__(self, where: str, problem: Any, options: dict[str, Any], *, quiet: bool = True) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pipe, other = spawn.Pipe()
        self.process = spawn.Process(target=_run, args=(other, where, problem, options, quiet), daemon=True)
        self.process.start()
        other.close()
        self.note, self.peak = "", 0  # peak: the most memory it held since it was told to count, bytes

    def prepare(self) -> tuple[float, dict[str, Any]]:
        """Seconds of the first pass from process start, with imports and compilation; and its result."""
        seconds, result = self._receive()
        return seconds, result

    def run(self, passes: int) -> float:
        """Seconds of so many passes."""
        time.sleep(REST)
        self.pipe.send(passes)
        return self._receive()[0]

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self.pipe.send(0)
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()

    def _receive(self) -> tuple[float, Any]:
        while not self.pipe.poll(1.0):
            if not self.process.is_alive() and not self.pipe.poll():
                raise Failed(f"its process ended without an answer (exit code {self.process.exitcode})")
        answer = self.pipe.recv()
        if isinstance(answer, str):
            raise Failed(answer)
        seconds, result, self.note, self.peak = answer
        return seconds, result
