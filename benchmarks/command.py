"""Workload F: `elbox fit digits` from process start to report, and what of it is imports."""

from __future__ import annotations

__all__ = ["measure"]

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

IMPORTS = "import time; t = time.perf_counter(); import elbox, elbox.cli; print(time.perf_counter() - t)"


def measure(*, rounds: int) -> dict[str, Any]:
    """Wall time of the command, of its imports and of Python's own start, in turns; the first turn warms the cache."""
    times: dict[str, list[float]] = {"elbox fit digits": [], "imports": [], "Python alone": []}
    for number in range(rounds + 1):
        turn = (_fit(), float(_run("-c", IMPORTS)[1]), _run("-c", "pass")[0])
        print(f"  round {number} of {rounds}: {turn[0]:.1f} s, imports {turn[1]:.2f} s")
        for name, seconds in zip(times, turn):
            if number:
                times[name].append(seconds)
    return {"title": "`elbox fit digits`, from process start to report", "rounds": rounds, "command": times}


def _fit() -> float:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        seconds, _ = _run("-m", "elbox.cli", "fit", "digits", "--out", str(out))
        assert (out / "report.html").exists(), "no report"
    return seconds


def _run(*arguments: str) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout
