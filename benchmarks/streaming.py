"""`python -m benchmarks.streaming --gib 12`: train on a `.npy` larger than memory, and on as many rows as fit, in turn.

Each turn is a process of its own that trains the 784-400-20 VAE with batches of 128 through `elbox.fit`. The streamed
one may not use more address space than `--limit` GiB, and its file is dropped from the system's cache before training
begins, so that rows come from the disk. The resident one has `--resident` rows of the same file and no limit. Time is
taken between the 20th step and the last, without preparation and held-out evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WARM_UP, BATCH, GIB = 20, 128, 1 << 30


def main() -> None:
    options = _arguments()
    if options.turn:
        return print(json.dumps(_turn(options)))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, subset = Path(folder) / "images.npy", Path(folder) / "subset.npy"
        gib = options.gib or min(12.0, 0.8 * shutil.disk_usage(folder).free / GIB)
        began = time.perf_counter()
        rows = _write(path, int(gib * GIB) // 784)
        _write(subset, min(options.resident, rows))
        print(f"{path.stat().st_size / GIB:.2f} GiB, {rows} images, written in {time.perf_counter() - began:.0f} s")
        found = [
            {"streamed": _child(path, options, options.limit), "resident": _child(subset, options, None)}
            for _ in range(options.rounds)
        ]
    _print(found, options)


def _write(path: Path, rows: int) -> int:
    """A `.npy` of random grey images [rows, 28, 28]; every part of the file is different."""
    import numpy as np

    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, 28, 28)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, rows, 1 << 16):
            file.write(rng.bytes(784 * min(1 << 16, rows - start)))
        os.fsync(file.fileno())
    return rows


def _child(path: Path, options: argparse.Namespace, limit: float | None) -> dict[str, Any]:
    """One turn in a process of its own."""
    words = ["--turn", str(path), "--steps", str(options.steps or 0), "--limit", str(limit or 0)]
    words += [] if options.compile is None else ["--compile" if options.compile else "--no-compile"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.streaming", *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def _turn(options: argparse.Namespace) -> dict[str, Any]:
    """Load, train and say how fast; the limit is set before torch is imported."""
    if options.limit:
        limit = int(options.limit * GIB)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    import elbox
    from elbox.runs import Interrupted

    began = time.perf_counter()
    data = elbox.load(options.turn, binarise="dynamic")
    prepared = time.perf_counter() - began
    with open(options.turn, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    steps = options.steps or len(data.train) // BATCH - 1
    epochs = -(-(steps + 1) * BATCH // len(data.train)) + 1
    recipe = elbox.recipes.vae(data.spec, latent=20, hidden=(400,))
    watch = _watch(steps)
    try:
        settings = elbox.Training(epochs, BATCH, evaluations=1, compile=options.compile, device="cpu")
        elbox.fit(recipe, data, settings, observer=watch)
    except Interrupted:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    speed = (steps - WARM_UP) * BATCH / (watch.end - watch.begin)
    assert data.streamed == bool(options.limit), "the machine or the limit decided otherwise: choose another --gib"
    found = {"description": data.describe(), "steps": steps, "speed": speed, "peak": peak}
    return found | {"prepared": prepared, "bytes": Path(options.turn).stat().st_size}


def _watch(steps: int) -> Any:
    """An observer that takes the time, and stops the run, as Ctrl-C would, after that many steps."""
    from elbox.train.progress import Silent

    class Watch(Silent):
        begin = end = 0.0

        def on_step(self, step: int, total: int) -> None:
            if step == WARM_UP:
                self.begin = time.perf_counter()
            if step == steps:
                self.end = time.perf_counter()
                os.kill(os.getpid(), signal.SIGINT)

    return Watch()


def _print(found: list[dict[str, Any]], options: argparse.Namespace) -> None:
    for name in ("streamed", "resident"):
        turns = [one[name] for one in found]
        speed, peak = statistics.median(t["speed"] for t in turns), max(t["peak"] for t in turns)
        prepared = statistics.median(t["prepared"] for t in turns)
        print(turns[0]["description"])
        print(f"  {name}: {speed:,.0f} examples/s over {turns[0]['steps']} steps, peak RSS {peak / GIB:.2f} GiB")
        print(f"  prepared in {prepared:.1f} s, {turns[0]['bytes'] / prepared / 1e9:.2f} GB/s")
    ratios = [one["streamed"]["speed"] / one["resident"]["speed"] for one in found]
    shown = ", ".join(f"{r:.2f}" for r in ratios)
    print(f"streamed / resident: {statistics.median(ratios):.2f} ({shown}); limit {options.limit} GiB")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming", description=__doc__)
    parser.add_argument("--gib", type=float, help="size of the file; default: 12, or what the disk has room for")
    parser.add_argument("--limit", type=float, default=3.0, help="GiB of address space of the streamed turn")
    parser.add_argument("--resident", type=int, default=400_000, help="rows of the resident turn")
    parser.add_argument("--steps", type=int, help="steps of a turn; default: those of one epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="default: what elbox chooses")
    parser.add_argument("--folder", type=Path, help="where the file is made; default: the folder for temporary files")
    parser.add_argument("--turn", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
