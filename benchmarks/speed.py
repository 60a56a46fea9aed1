"""Workloads A to D: the time of a training step, and whether all contenders learn the same in a pass."""

from __future__ import annotations

__all__ = ["measure"]

import statistics
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import elbox
from benchmarks.contenders import TRAINING, Contender
from benchmarks.rounds import interleave
from benchmarks.worker import Failed, Worker
from benchmarks.workloads import Problem, Workload, bound, problem

NOISE = TRAINING["plain"]  # whose spread over seeds says which differences are noise
FLOOR = 0.1  # nats; smaller differences are no finding, whatever the spread of three seeds


def measure(
    workload: Workload, data: elbox.Data, *, rounds: int, seconds: float, steps: int | None = None
) -> dict[str, Any]:
    """Time all contenders on a workload; times are in milliseconds a step."""
    prob = problem(workload, data, steps)
    contenders = {k: c for k, c in TRAINING.items() if not (c.limit and "logit" in prob.weights)}
    if workload.samples == 1:  # then elbox's own gradient is as theirs
        del contenders["usual"]
    found = interleave(contenders, lambda key: prob, rounds=rounds, seconds=seconds)
    for about in found.values():
        trained = about.pop("first", None)
        if "times" in about:
            about["times"] = [1000 * t / prob.workload.steps for t in about["times"]]
        if trained:
            about["bound"] = bound(prob, data, trained)
    seeds = noise(prob, data, NOISE)
    judge(found, seeds)
    return {
        "title": workload.title,
        "samples": workload.samples,
        "steps": prob.workload.steps,
        "rounds": rounds,
        "seeds": seeds,
        "contenders": found,
    }


def noise(prob: Problem, data: elbox.Data, contender: Contender, seeds: int = 3) -> list[float]:
    """The held-out bound after one pass of one contender with several seeds."""
    found = []
    for seed in range(1, seeds + 1):
        worker = Worker(contender.where, replace(prob, seed=seed), contender.options)
        with closing(worker), suppress(Failed):
            found.append(bound(prob, data, worker.prepare()[1])["elbo"])
    return found


def judge(found: dict[str, dict[str, Any]], seeds: list[float]) -> None:
    """Mark contenders whose bound after one pass is not that of the others, and say so loudly."""
    if len(seeds) < 3:
        return
    middle, allowed = statistics.mean(seeds), max(FLOOR, 5 * statistics.stdev(seeds))
    for about in found.values():
        if "bound" in about:
            difference = about["bound"]["elbo"] - middle
            about["differs"] = abs(difference) > allowed
            if about["differs"]:
                print(f"!!! {about['title']}: its bound after a pass is off by {difference:+.2f} nats (±{allowed:.2f})")
