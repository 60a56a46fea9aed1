"""Workload E: log p(x) of 10 000 test images with 5000 samples each; contenders do a subset, and times are scaled."""

from __future__ import annotations

__all__ = ["measure"]

from dataclasses import replace
from typing import Any

import numpy as np
import torch

import elbox
from benchmarks import weights
from benchmarks.contenders import SCORING
from benchmarks.rounds import interleave
from benchmarks.workloads import BURDA, Problem, Workload, problem
from elbox.train import train
from elbox.train.step import Step

WORKLOAD = Workload("E", "log-likelihood of 10 000 images, S = 5000, Burda 200-200-50", "iwae", BURDA | {"samples": 1})
IMAGES, SAMPLES = 10_000, 5000
AGREE = 0.05  # nats


def measure(data: elbox.Data, *, rounds: int, seconds: float, images: int = 100, full: bool = False) -> dict[str, Any]:
    """Time all contenders on the first `images` test images; with `full`, elbox on all 10 000: it compiles for them."""
    prob = _trained(data)
    count = {key: IMAGES if full and key == "elbox" else images for key in SCORING}
    subset = {key: replace(prob, x=data.test.x[:n].numpy()) for key, n in count.items()}
    found = interleave(SCORING, subset.__getitem__, rounds=rounds, seconds=seconds)
    values = {}
    for key, about in found.items():
        first = about.pop("first", None)
        about["times"] = [t * IMAGES / count[key] for t in about.get("times", [])]
        if first:
            values[key] = np.asarray(first["log_likelihood"], np.float64)[:images]
            about["nll"] = -float(values[key].mean())
    judge(found, values)
    measured = {"title": WORKLOAD.title, "unit": f"s for {IMAGES} images", "images": images, "rounds": rounds}
    return measured | {"contenders": found, "full": full}


def judge(found: dict[str, dict[str, Any]], values: dict[str, np.ndarray]) -> None:
    """Mark contenders whose mean is not within 0.05 nat of the eager float32 loop's, nor within sampling error."""
    if "plain" not in values:
        return
    for key, value in values.items():
        apart = value - values["plain"]
        difference, error = float(apart.mean()), float(apart.std() / len(apart) ** 0.5)  # of sampling, in both
        found[key]["differs"] = abs(difference) > max(AGREE, 3 * error)
        if found[key]["differs"]:
            print(f"!!! {found[key]['title']}: its log-likelihood is off by {difference:+.3f} nats")


def _trained(data: elbox.Data) -> Problem:
    """A model trained for one short pass: log p(x) of an untrained one does not agree within 0.05 nat."""
    prob = problem(replace(WORKLOAD, batch=100), data)
    recipe = WORKLOAD.build(data.spec)
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    train(step, torch.from_numpy(prob.x), elbox.Training(epochs=5, batch_size=100, precision="32", compile=False))
    return replace(prob, weights=weights.export(recipe.model))
