"""How time and memory grow: with batch size, K, latent size, width, samples of an evaluation, and rows of data.

Each point is a process of its own that trains (or evaluates) elbox as it comes on random bits: what is learned does not
matter here. Memory is the most that the process held from the first step on, less what it held before.
"""

from __future__ import annotations

__all__ = ["PANELS", "Panel", "measure"]

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

import elbox
from benchmarks import weights
from benchmarks.worker import Worker
from benchmarks.workloads import Problem, Workload

BASE: dict[str, Any] = {"latent": 50, "hidden": (200, 200), "activation": nn.Tanh}
IMAGE = elbox.DataSpec((1, 28, 28), "binary", offset=0.13)
TABLE = elbox.DataSpec((16,), "binary", offset=0.13)
TRAIN, SCORE = "benchmarks.contenders.ours:train", "benchmarks.contenders.ours:score"


@dataclass(frozen=True)
class Panel:
    """One curve: x is what grows, `point(x)` measures.

    Arguments:
        title: What is measured, with its unit.
        x: What grows.
        values: Where it is measured.
        point: x → number.
    """

    title: str
    x: str
    values: Sequence[int]
    point: Callable[[int], float]


def measure(
    only: Sequence[str] = (), say: Callable[[str], None] = print, largest: float = math.inf
) -> dict[str, dict[str, Any]]:
    """The curves called `only`, or all; `largest` leaves out larger x, to try things out."""
    found = {}
    for name, panel in ((n, p) for n, p in PANELS.items() if not only or n in only):
        points = []
        for x in (v for v in panel.values if v <= largest):
            points.append((x, panel.point(x)))
            say(f"  {panel.title}, {panel.x} {x}: {points[-1][1]:.3g}")
        if points:
            found[name] = {"title": panel.title, "x": panel.x, "points": points}
    return found


def _problem(work: Workload, spec: elbox.DataSpec = IMAGE, rows: int | None = None) -> Problem:
    shape = (rows or work.steps * work.batch, *spec.event_shape)
    generator = np.random.default_rng(0)
    bits = (generator.integers(0, 256, shape, dtype=np.uint8) < 33).view(np.uint8)
    return Problem(work, spec, bits, weights.export(work.build(_centred(spec)).model))


def _centred(spec: elbox.DataSpec) -> elbox.DataSpec:
    return replace(spec, offset=(0.13,) * spec.dims)


def _workload(batch: int = 100, samples: int = 1, steps: int = 10, **settings: Any) -> Workload:
    recipe = "vae" if samples == 1 else "iwae"
    extra = {} if samples == 1 else {"samples": samples}
    return Workload("growth", "", recipe, BASE | settings | extra, batch, samples, steps)


def _step(seconds: float = 0.5, **settings: Any) -> float:
    """Milliseconds a training step."""
    work = _workload(**settings)
    return 1000 * _pass(TRAIN, _problem(work), {}, seconds) / work.steps


def _score(images: int, samples: int) -> float:
    """Seconds of an evaluation."""
    return _pass(SCORE, _problem(_workload(batch=images, steps=1)), {"samples": samples}, 0.3)


def _rows(rows: int) -> float:
    """Microseconds of training for one row of a table of 16 binary columns, a whole epoch."""
    work = Workload("growth", "", "vae", {"latent": 4, "hidden": (32,)}, batch=500, steps=rows // 500)
    return 1e6 * _pass(TRAIN, _problem(work, TABLE, rows), {"compile": False}, 0.5) / rows


def _pass(where: str, prob: Problem, options: dict[str, Any], seconds: float) -> float:
    """Seconds a pass, the better of two turns: the machine's neighbours only ever add."""
    worker = Worker(where, replace(prob, spec=_centred(prob.spec)), options)
    with closing(worker):
        worker.prepare()
        passes = max(1, math.ceil(seconds / worker.run(1)))
        return min(worker.run(passes) for _ in range(2)) / passes


def _peak(where: str, prob: Problem, options: dict[str, Any]) -> int:
    worker = Worker(where, replace(prob, spec=_centred(prob.spec)), options)
    with closing(worker):
        worker.prepare()
        return worker.peak


def _train_memory(samples: int) -> float:
    """MiB that training holds beyond model and data, uncompiled."""
    return _peak(TRAIN, _problem(_workload(samples=samples, steps=2)), {"compile": False}) / 2**20


def _score_memory(samples: int) -> float:
    """MiB that an evaluation holds beyond model and data."""
    return _peak(SCORE, _problem(_workload(batch=100, steps=1)), {"samples": samples}) / 2**20


PANELS = {
    "batch": Panel("ms a step", "batch size", (16, 64, 256, 1024, 4096), lambda x: _step(batch=x)),
    "samples": Panel("ms a step", "samples K", (1, 5, 20, 50, 200), lambda x: _step(samples=x)),
    "latent": Panel("ms a step", "latent size", (2, 10, 50, 200, 1000), lambda x: _step(latent=x)),
    "width": Panel("ms a step", "width of hidden layers", (50, 200, 800, 2000), lambda x: _step(hidden=(x, x))),
    "score_samples": Panel(
        "s to evaluate 100 images", "samples S", (10, 100, 1000, 5000), lambda x: _score(images=100, samples=x)
    ),
    "score_images": Panel(
        "s to evaluate, S = 100", "test images", (100, 1000, 10_000), lambda x: _score(images=x, samples=100)
    ),
    "train_memory": Panel("MiB of a step, batch 100", "samples K", (2, 20, 50, 200), _train_memory),
    "score_memory": Panel("MiB to evaluate 100 images", "samples S", (10, 100, 1000, 5000), _score_memory),
    "rows": Panel("µs a row and epoch", "rows of data", (10**3, 10**4, 10**5, 10**6, 10**7), _rows),
}
