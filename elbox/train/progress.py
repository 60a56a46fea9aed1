"""What a run shows of itself while it trains: a bar on a terminal, lines elsewhere, or nothing.

The loop calls an `Observer`; a tracker (a file, a service) is another one. No call makes the device wait: the numbers
shown are those of the last transfer of logs.
"""

from __future__ import annotations

__all__ = ["Bar", "Lines", "Observer", "Silent", "progress"]

import sys
import time
from typing import Any


class Observer:
    """The calls that the loop makes; each does nothing here. Subclass it and override what you need."""

    def on_start(self, info: dict[str, Any]) -> None:
        """The run begins: `steps`, `done`, `epochs`, `steps_per_epoch`, `batch_size`, `examples`, `reasons`."""

    def on_step(self, step: int, total: int) -> None:
        """Step number `step` of `total` is on its way; called after each one, so it must return at once."""

    def on_logs(self, step: int, values: dict[str, float]) -> None:
        """Logs came from the device: their averages over the last transferred steps."""

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch ended; its row of metrics."""

    def on_evaluation(self, row: dict[str, Any]) -> None:
        """A held-out evaluation was made; its row of metrics."""

    def on_message(self, message: str) -> None:
        """One sentence for the user."""

    def on_end(self) -> None:
        """The run ended, also after an error."""


class Silent(Observer):
    """Shows nothing, except that messages are kept in `messages`."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_message(self, message: str) -> None:
        """Keep the message."""
        self.messages.append(message)


class _Clock:
    """Speed and time left, from the steps done since the start."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.begin, self.done = time.monotonic(), info["done"]
        self.batch, self.total = info["batch_size"], info["steps"]

    def describe(self, step: int) -> str:
        passed = time.monotonic() - self.begin
        if step == self.done or passed <= 0:
            return ""
        speed = (step - self.done) / passed
        return f"{speed * self.batch:,.0f} examples/s · {_duration((self.total - step) / speed)} left"


class Lines(Observer):
    """Plain lines, for logs and pipes: one for each evaluation, and at most one every few seconds in between.

    Arguments:
        stream: Text file to write to; standard error if `None`.
        every: Seconds between two lines, evaluations aside.
    """

    def __init__(self, stream: Any = None, every: float = 10.0) -> None:
        self.stream, self.every = stream or sys.stderr, every
        self._values = ""
        self._next = 0.0
        self._clock: _Clock | None = None
        self._total = 0

    def on_start(self, info: dict[str, Any]) -> None:
        """Say what will be done."""
        self._clock, self._total = _Clock(info), info["steps"]
        self._next = time.monotonic() + self.every
        self.on_message(_headline(info))
        for reason in info["reasons"]:
            self.on_message(reason)

    def on_logs(self, step: int, values: dict[str, float]) -> None:
        """A line, if the last one is old enough."""
        self._values = _values(values)
        if time.monotonic() >= self._next:
            self._line(step, "")

    def on_evaluation(self, row: dict[str, Any]) -> None:
        """A line with the held-out bound."""
        self._line(row["step"], f"held-out {row['bound']:.2f}{' (best)' if row['best'] else ''}")

    def on_message(self, message: str) -> None:
        """The message on a line of its own."""
        print(message, file=self.stream, flush=True)

    def _line(self, step: int, more: str) -> None:
        self._next = time.monotonic() + self.every
        speed = self._clock.describe(step) if self._clock else ""
        self.on_message(" · ".join(part for part in (f"step {step}/{self._total}", self._values, more, speed) if part))


class Bar(Observer):
    """A progress bar on a terminal, with distortion, rate, ELBO, the held-out bound, examples/s and time left."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TextColumn("{task.fields[values]}"))
        self._progress = Progress(*columns, transient=False, refresh_per_second=4)
        self._progress.console.stderr = True
        self._task: Any = None
        self._clock: _Clock | None = None
        self._next, self._logged, self._bound = 0.0, "", ""

    def on_start(self, info: dict[str, Any]) -> None:
        """Show the bar, below what will be done."""
        self._clock = _Clock(info)
        self._progress.start()
        for line in (_headline(info), *info["reasons"]):
            self.on_message(line)
        self._task = self._progress.add_task("", total=info["steps"], completed=info["done"], values="")

    def on_step(self, step: int, total: int) -> None:
        """Move the bar, ten times a second at most."""
        now = time.monotonic()
        if (now < self._next and step != total) or self._clock is None:
            return
        self._next = now + 0.1
        text = " · ".join(part for part in (self._logged, self._bound, self._clock.describe(step)) if part)
        self._progress.update(self._task, completed=step, values=text)

    def on_logs(self, step: int, values: dict[str, float]) -> None:
        """Show the new values with the next step."""
        self._logged = _values(values)

    def on_evaluation(self, row: dict[str, Any]) -> None:
        """Show the held-out bound with the next step."""
        self._bound = f"held-out {row['bound']:.2f}"

    def on_message(self, message: str) -> None:
        """The message above the bar."""
        self._progress.console.print(message, highlight=False, markup=False)

    def on_end(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


def progress(*, quiet: bool = False) -> Observer:
    """The observer for this process: silent if `quiet`, a bar if standard error is a terminal, else lines."""
    if quiet:
        return Silent()
    return Bar() if sys.stderr.isatty() else Lines()


def _headline(info: dict[str, Any]) -> str:
    done = f", going on after step {info['done']}" if info["done"] else ""
    return (
        f"training on {info['examples']:,} examples: {info['epochs']:,} epochs of {info['steps_per_epoch']:,} steps, "
        f"{info['batch_size']:,} examples a step{done}"
    )


def _values(values: dict[str, float]) -> str:
    shown = (("distortion", "distortion"), ("rate", "rate"), ("elbo", "ELBO"))
    return " · ".join(f"{label} {values[name]:.2f}" for name, label in shown if name in values)


def _duration(seconds: float) -> str:
    whole = int(seconds + 0.5)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
