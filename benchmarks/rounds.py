"""Interleaved rounds: A B C A B C …, so that a machine whose speed drifts slows all contenders alike."""

from __future__ import annotations

__all__ = ["Spread", "interleave", "ratios"]

import math
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.contenders import Contender
from benchmarks.worker import Failed, Worker


class Spread(NamedTuple):
    """Median and range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def text(self, digits: int = 2) -> str:
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}–{self.high:.{digits}f})"


def ratios(slower: list[float], faster: list[float]) -> list[float]:
    """How many times faster, round by round."""
    return [a / b for a, b in zip(slower, faster, strict=True)]


def interleave(
    contenders: dict[str, Contender],
    problems: Callable[[str], Any],
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None] = print,
) -> dict[str, dict[str, Any]]:
    """Time every contender in every round.

    Arguments:
        contenders: By key.
        problems: key → what the contender is given.
        rounds: Number of rounds.
        seconds: Least length of a contender's turn.
        say: Where progress goes.

    Returns:
        key → title, precision, limit, prepare (s), first (result of the first pass), times (s a pass, one a round),
        passes (in a turn), note; or key → title, failed.
    """
    workers: dict[str, Worker] = {}
    found: dict[str, dict[str, Any]] = {}
    try:
        for key, contender in contenders.items():
            found[key] = _prepare(workers, key, contender, problems(key), seconds)
            say(f"  {contender.title}: {_ready(found[key])}")
        for number in range(rounds):
            for key, worker in workers.items():
                passes = found[key]["passes"]
                found[key]["times"].append(worker.run(passes) / passes)
                found[key]["note"] = worker.note
            say(f"  round {number + 1} of {rounds}")
    finally:
        for worker in workers.values():
            worker.close()
    return found


def _prepare(workers: dict[str, Worker], key: str, contender: Contender, problem: Any, seconds: float) -> dict:
    about: dict[str, Any] = {"title": contender.title, "precision": contender.precision, "limit": contender.limit}
    worker = Worker(contender.where, problem, contender.options)
    try:
        prepare, first = worker.prepare()
        once = worker.run(1)  # the first pass still warms up
        passes = max(1, math.ceil(seconds / once))
    except Failed as error:
        worker.close()
        return about | {"failed": str(error)}
    workers[key] = worker
    return about | {"prepare": prepare, "first": first, "passes": passes, "times": [], "note": worker.note}


def _ready(about: dict[str, Any]) -> str:
    return f"left out, {about['failed']}" if "failed" in about else f"ready after {about['prepare']:.1f} s"
