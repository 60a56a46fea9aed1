"""Time to nats: seconds of training until Burda's net has a test NLL of 89.3 and 87.8 nats.

Dynamic MNIST, NLL with 5000 samples of the first 2000 test images, measured by `elbox.log_likelihood` for both
contenders while the clock stands still. Seconds are those of training, compilation included.
"""

from __future__ import annotations

__all__ = ["TARGETS", "measure"]

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import elbox
from benchmarks import weights
from benchmarks.workloads import BURDA, Problem, Workload
from elbox.train import Observer, train
from elbox.train.step import Step

TARGETS = (89.3, 87.8)
SAMPLES, IMAGES = 5000, 2000
NET = Workload("nats", "Burda 200-200-50, K = 1", "vae", BURDA | {"activation": nn.Tanh}, batch=20)


class Clock:
    """Measures NLL at chosen passes; the time that takes is not counted.

    Arguments:
        contender: Its name in the log.
        at: Passes after which to measure.
        score: Weights → NLL.
        log: JSON lines are appended here.
    """

    def __init__(self, contender: str, at: list[int], score: Callable[[Any], float], log: Path) -> None:
        self.contender, self.at, self.score, self.log = contender, at, score, log
        self.began, self.away = time.perf_counter(), 0.0
        self.rows: list[dict[str, Any]] = []

    def __call__(self, passes: int, values: Callable[[], dict[str, np.ndarray]], *, always: bool = False) -> None:
        if passes not in self.at and not always:
            return
        stopped = time.perf_counter()
        row = {"contender": self.contender, "passes": passes, "seconds": round(stopped - self.began - self.away, 2)}
        self.rows.append(row | {"nll": round(self.score(values()), 3)})
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")
        print(self.rows[-1], flush=True)
        self.away += time.perf_counter() - stopped


def measure(
    contender: str, at: list[int], settings: dict[str, Any], log: Path, *, samples: int = SAMPLES, images: int = IMAGES
) -> dict[str, Any]:
    """Train one contender to the last of the passes `at`.

    Arguments:
        contender: `"elbox"` or `"jax"`.
        at: Passes after which NLL is measured.
        settings: Settings of `elbox.Training`, for elbox.
        log: File of JSON lines.
        samples: Samples of the NLL.
        images: Test images of the NLL.

    Returns:
        rows: (passes, seconds, nll) of each measurement; to: target → seconds, of those that were reached.
    """
    data = elbox.load("mnist", binarise="dynamic")
    recipe = NET.build(data.spec)
    prob = Problem(NET, data.spec, data.train.x.numpy(), weights.export(recipe.model))
    measured = NET.build(data.spec).model.eval()

    def score(values: dict[str, np.ndarray]) -> float:
        weights.load(measured, values)
        return -float(elbox.log_likelihood(measured, data.test.x[:images], samples=samples).mean())

    clock = Clock(contender, sorted(at), score, log)
    if contender == "jax":
        from benchmarks.contenders import jax_pilot

        jax_pilot.train(prob, clock, max(at))
    else:
        _ours(recipe, data, clock, {"epochs": max(at)} | settings)
    reached = {str(t): next((r["seconds"] for r in clock.rows if r["nll"] <= t), None) for t in TARGETS}
    return {"title": contender, "rows": clock.rows, "to": reached, "settings": settings, "protocol": data.protocol}


class _AtEpochs(Observer):
    def __init__(self, clock: Clock, model: Any) -> None:
        self.clock, self.model = clock, model

    def on_epoch(self, row: dict[str, Any]) -> None:
        self.clock(row["epoch"], lambda: weights.export(self.model))


def _ours(recipe: elbox.Recipe, data: elbox.Data, clock: Clock, settings: dict[str, Any]) -> None:
    """elbox without held-out evaluations; what it leaves at the end, averaged weights if asked for, is measured too."""
    training = elbox.Training(**settings)
    step = Step(recipe.model, recipe.objective, recipe.estimator, data.prepare)
    last = training.passes(len(data.train))
    at = _AtEpochs(clock, recipe.model)
    clock.at = [p for p in clock.at if p != last]
    train(step, data.train.x, replace(training, epochs=last), observer=at)
    clock(last, lambda: weights.export(recipe.model), always=True)
