"""Checks of how training went: numbers that are not finite, an unfinished run or schedule, instability, convergence."""

from __future__ import annotations

__all__ = ["converged", "dead", "finished", "finite", "overfitting", "schedule", "stable"]

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from elbox.doctor.finding import Finding
from elbox.doctor.patient import Patient
from elbox.evaluate.scope import measuring
from elbox.schedules import Cyclical, Schedule, value_at

RISING = 0.05  # share of all that the held-out bound gained, in the last quarter of the run
FELL = 0.5  # share of all that the training objective gained
DEAD = 0.3  # share of the units
SHORT, MANY = 300, 100  # steps, and epochs of few steps each
SETTLED = 0.2  # fraction of a run in which weights of terms may still rise


def finite(p: Patient) -> Iterator[Finding]:
    """A run that stopped at NaN or infinity, or has such numbers in its history."""
    lower = f"lower lr (now {p.training.lr:g}), or set clip=1"
    if p.info["status"] == "failed":
        error = str(p.info.get("error", "")).split(";")[0]
        yield Finding("finite", "training failed", error, float(p.done), f"start again: {lower}")
    bad = [
        (row["step"], name)
        for row in p.metrics
        for name, value in row.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
    if bad:
        measured = f"{len(bad)} values in metrics.jsonl are NaN or infinite, the first {bad[0][1]} at step {bad[0][0]}"
        yield Finding("finite", "numbers that are not finite", measured, float(len(bad)), lower)


def finished(p: Patient) -> Iterator[Finding]:
    """A run that was stopped before its end, though not because it no longer improved."""
    if p.info["status"] in ("interrupted", "running"):
        share = p.done / p.total if p.total else math.nan
        done = f"{p.done} of {p.total} steps ({100 * share:.0f} %)" if p.total else f"{p.done} steps"
        how = "go on with" if p.info["status"] == "interrupted" else "if it no longer runs, go on with"
        yield Finding("finished", "training is not finished", f"{done} done", share, f"{how}: elbox resume {p.name}")


def schedule(p: Patient) -> Iterator[Finding]:
    """Weights of the model that were kept from a time when a weight of the objective had not its final value."""
    if p.run is None or not p.total or p.kept is None:
        return
    at = min(1.0, (p.kept - 1) / max(1, p.total - 1))
    for name, chosen in _schedules(p.run.recipe.objective):
        now, end = (float(value_at(chosen, torch.tensor(t))) for t in (at, 1.0))
        if abs(now - end) > 0.05 * max(abs(end), 1e-6):
            measured = f"{name} was {now:.2g} of {end:.2g} at step {p.kept} of {p.total}, whose weights were kept"
            advice = "train on a shorter schedule (over=0.1), or without patience, so that it ends"
            yield Finding("schedule", "a schedule was not finished", measured, now, advice)


def _schedules(value: Any, name: str = "") -> Iterator[tuple[str, Schedule]]:
    if isinstance(value, Schedule) and not isinstance(value, Cyclical):  # which is meant to come back
        yield name, value
    elif isinstance(value, list | tuple):
        for v in value:
            yield from _schedules(v, name)
    elif hasattr(value, "arguments"):
        for key, v in value.arguments.items():
            yield from _schedules(v, key)


def stable(p: Patient) -> Iterator[Finding]:
    """A training objective that fell by a good part of what it had gained, while its weights stood still."""
    if p.run is not None and isinstance(p.run.recipe.objective, nn.Module):  # players that pull against each other
        return
    rows = [row for row in p.rows("train") if "objective" in row and _settled(p, row["step"])]
    values = np.array([row["objective"] for row in rows], float)
    values = values[np.isfinite(values)]
    if len(values) < 3:
        return
    drops = np.maximum.accumulate(values) - values
    worst, gained = float(drops.max()), float(values.max() - values[0])
    if worst > max(FELL * gained, 0.05 * abs(values.max()), 1.0):
        measured = f"the training objective fell by {worst:.3g} nats, after it had gained {gained:.3g}"
        advice = f"lower lr (now {p.training.lr:g}), set clip=1, or take schedule=cosine or warmup"
        yield Finding("stable", "training is unstable, its learning rate too high", measured, worst, advice)


def _settled(p: Patient, step: int) -> bool:
    """Whether the weights of the objective have their final values at that step."""
    if not p.total or p.run is None:
        return step > SETTLED * (p.total or p.done)
    now = torch.tensor(min(1.0, step / p.total))
    pairs = [(value_at(s, now), value_at(s, torch.tensor(1.0))) for _, s in _schedules(p.run.recipe.objective)]
    return all(abs(float(a - b)) <= 0.01 * abs(float(b)) for a, b in pairs)


def converged(p: Patient) -> Iterator[Finding]:
    """A held-out bound that was still rising when the run ended, or a run too short to say."""
    epochs = p.training.epochs or max((row["epoch"] for row in p.metrics), default=1)
    advice = f"train longer (--epochs {3 * epochs}), or with a higher lr (now {p.training.lr:g})"
    if p.info["status"] == "finished" and p.done < SHORT and epochs < MANY:
        yield Finding("converged", "training was short", f"{p.done} steps in {epochs} epochs", float(p.done), advice)
        return
    rows = [row for row in p.rows("held_out") if math.isfinite(row.get("bound", math.nan))]
    if len(rows) < 2 or p.info["status"] in ("stopped early", "failed"):
        return
    steps, bound = (np.array([row[name] for row in rows], float) for name in ("step", "bound"))
    last = steps >= 0.75 * steps[-1]
    last[-min(len(rows), 3) :] = True  # three points where there are
    slope = float(np.polyfit(steps[last], bound[last], 1)[0])
    gain = slope * 0.25 * steps[-1]
    rises = np.diff(bound[last])
    steady = bool((rises > 0).all()) or gain > 3 * float(np.std(rises))
    if steady and gain > max(RISING * (bound.max() - bound[0]), 0.1):
        measured = f"the held-out bound rose by {gain:.2g} nats in the last quarter of {int(steps[-1])} steps"
        yield Finding("converged", "training has not converged", measured, gain, advice)


def overfitting(p: Patient) -> Iterator[Finding]:
    """A bound that is much higher on training examples than on others."""
    name = "distortion" if p.autoencoder else "elbo"
    one, other = (getattr(e, name) for e in (p.trained, p.held))
    gap = other.mean - one.mean if p.autoencoder else one.mean - other.mean
    se = math.hypot(one.se, other.se)
    if gap > max(4 * se, 0.05 * abs(other.mean), 0.02 * p.held.dims, 1.0):
        measured = (
            f"{name} {one.mean:.4g} on training examples, {other.mean:.4g} held out, {gap:.3g} ± {se:.1g} nats worse"
        )
        advice = "stop earlier (--patience 5), take fewer hidden units or latent dimensions, or more data"
        yield Finding("overfitting", "the model overfits", measured, gap, advice)


def dead(p: Patient) -> Iterator[Finding]:
    """Rectified units that are 0 for all examples: no gradient reaches them."""
    alive: list[torch.Tensor] = []

    def look(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        channels = -3 if output.dim() >= 4 and output.shape[-1] > 1 and isinstance(inputs[0], torch.Tensor) else -1
        alive.append((output > 0).transpose(channels, -1).flatten(0, -2).any(0))

    hooks = [m.register_forward_hook(look) for m in p.model.modules() if isinstance(m, nn.ReLU)]
    try:
        with measuring(p.model, p.seed):
            seen = p.seen
            z = p.model.encode(seen.x, c=seen.c).sample(torch.Size([1]))
            p.model.decode(z[0], c=seen.c)
    finally:
        for hook in hooks:
            hook.remove()
    if not alive:
        return
    units = torch.cat([a.float().cpu() for a in alive])
    share = 1 - float(units.mean())
    if share > DEAD:
        measured = f"{100 * share:.0f} % of {len(units)} rectified units are 0 for all of {len(seen.x)} examples"
        advice = f"lower lr (now {p.training.lr:g}), or take activation=SiLU"
        yield Finding("dead", "dead units in the networks", measured, share, advice)
