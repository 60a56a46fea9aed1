"""Learning curves and the latent space as matplotlib figures; nothing here touches pyplot's global state."""

from __future__ import annotations

__all__ = ["codes", "elbo_curve", "rate_and_distortion", "rates"]

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from elbox.report.markup import minus
from elbox.report.theme import CLASSES, FIRST, INK, LINE, MUTED, QUIET, SECOND, STYLE, WIDTH, halo, new

Rows = Sequence[dict[str, Any]]


# ── learning curves ──────────────────────────────────────────────────────────────────────────────────────────────────


@mpl.rc_context(STYLE)
def elbo_curve(metrics: Rows, best: int | None = None) -> Figure:
    """ELBO in training and held out, and the objective's own bound if it is another; the weights kept are marked.

    Arguments:
        metrics: Rows of metrics.jsonl.
        best: Epoch of the weights that were kept.
    """
    figure, (axes,) = new(3.0)
    lines = [_series(metrics, split, "elbo") for split in ("train", "held_out")]
    bound = _series(metrics, "held_out", "bound")
    if len(bound[0]) and not np.allclose(bound[1], lines[1][1], rtol=1e-5, atol=1e-3):
        lines.append(bound)  # selection went by another bound than the ELBO
    _draw(axes, lines, ("training", "held out", "own bound,\nheld out"))
    _mark_best(axes, lines[-1], best)
    axes.set_title("ELBO, nats")
    axes.set_xlabel("epoch")
    return figure


@mpl.rc_context(STYLE)
def rate_and_distortion(metrics: Rows, *, rate: bool = True) -> Figure:
    """Distortion and, below it, rate over epochs, in training and held out.

    Arguments:
        metrics: Rows of metrics.jsonl.
        rate: False for an autoencoder, which has none.
    """
    figure, axes = new(3.6 if rate else 2.6, rows=1 + rate, sharex=True)
    for ax, name in zip(axes, ("distortion", "rate"), strict=False):
        _draw(ax, [_series(metrics, split, name) for split in ("train", "held_out")], ("training", "held out"))
        ax.set_title(f"{name.capitalize()}, nats")
    axes[-1].set_xlabel("epoch")
    return figure


def _series(metrics: Rows, split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [r for r in metrics if r["split"] == split and r.get(name) is not None]
    rows = rows[:: max(1, len(rows) // 400)] + (rows[-1:] if len(rows) > 400 else [])
    return np.array([r["epoch"] for r in rows], float), np.array([r[name] for r in rows], float)


def _draw(axes: Axes, lines: Sequence[tuple[np.ndarray, np.ndarray]], names: Sequence[str]) -> None:
    colours = (QUIET, FIRST, SECOND)
    text = (MUTED, FIRST, SECOND)
    ends = []
    for (x, y), name, colour, of_text in zip(lines, names, colours, text, strict=False):
        if len(x):
            axes.plot(x, y, color=colour, marker="o", markersize=2.2 if colour != QUIET or len(x) < 3 else 0)
            ends.append((float(y[-1]), name, of_text))
    low, high = _window(lines)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(axis="y", color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)
    height = axes.figure.get_figheight() / len(axes.figure.axes)  # type: ignore[union-attr]
    _label_ends(axes, ends, low, high, apart=0.2 / height)


def _window(lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Limits that show what happens after the first steep twentieth of the run."""
    last = max((float(x[-1]) for x, _ in lines if len(x)), default=1.0)
    first = 1 + 0.05 * last if last >= 10 else 1.0
    seen = [y[x >= min(first, x[-1])] for x, y in lines if len(x)]
    values = np.concatenate(seen) if seen else np.array([0.0, 1.0])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - pad, high + pad


def _label_ends(axes: Axes, ends: list[tuple[float, str, str]], low: float, high: float, apart: float) -> None:
    """Names at the right ends of the lines instead of a legend, pushed apart where they would overlap."""
    place = -1.0
    for y, name, colour in sorted(ends):
        place = max((y - low) / (high - low), place + apart * (1 + name.count("\n")))
        axes.annotate(
            name, (1, place), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points", color=colour,
            va="center", fontsize=8.5,
        )  # fmt: skip


def _mark_best(axes: Axes, line: tuple[np.ndarray, np.ndarray], best: int | None) -> None:
    x, y = line
    if best is None or best not in x:
        return
    value = float(y[x == best][0])
    axes.plot([best], [value], "o", markersize=7, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1)
    told = minus(f"best held out {value:.2f}, epoch {best}")
    axes.set_title(told, loc="right", fontweight="normal", fontsize=8.5, color=MUTED)


# ── latent space ─────────────────────────────────────────────────────────────────────────────────────────────────────


@mpl.rc_context(STYLE)
def rates(values: Sequence[float], active: Sequence[bool], name: str, *, counted: bool = True) -> Figure:
    """One bar for each latent dimension, the largest first; dimensions that are not active are grey.

    Arguments:
        values: Rate of each dimension in nats, or the variance of its posterior means.
        active: Which dimensions are active.
        name: What the values are.
        counted: Say how many are active.
    """
    figure, (axes,) = new(2.5)
    order = sorted(range(len(values)), key=lambda d: -values[d])
    place, heights = np.arange(len(order)), [max(values[d], 0.0) for d in order]
    axes.bar(
        place, heights, width=0.78 if len(order) <= 60 else 1.0, color=[FIRST if active[d] else QUIET for d in order]
    )
    axes.set_title(name)
    axes.set_xlabel("latent dimension")
    if len(order) <= 24:
        axes.set_xticks(place, [str(d) for d in order], fontsize=8 if len(order) <= 16 else 7)
    else:
        axes.set_xticks([])
    axes.tick_params(axis="x", length=0)
    spare = max(0, 6 - len(order)) / 2  # two bars are no wider than six would be
    axes.set_xlim(-0.6 - spare, len(order) - 0.4 + spare)
    if counted:
        told = f"{sum(active)} of {len(order)} active"
        axes.set_title(told, loc="right", fontweight="normal", fontsize=8.5, color=MUTED)
    return figure


@mpl.rc_context(STYLE)
def codes(z: np.ndarray, y: np.ndarray | None, names: Sequence[str], *, circles: bool = True) -> Figure:
    """Encoded examples in a 2-D latent space, coloured by class, each class named at its median.

    Arguments:
        z: Posterior means [N, 2].
        y: Class of each example [N], or None.
        names: Names of the classes. With more than ten, all points are of one colour.
        circles: Draw where a standard normal prior has its first and second standard deviation.
    """
    figure, (axes,) = new(WIDTH)
    classes = sorted({int(c) for c in y}) if y is not None else []
    coloured = y is not None and 2 <= len(classes) <= len(CLASSES)
    colours = np.array([CLASSES[classes.index(int(c))] for c in y]) if coloured and y is not None else FIRST
    size = float(np.clip(4000 / len(z), 2.5, 16))
    axes.scatter(z[:, 0], z[:, 1], c=colours, s=size, linewidths=0, alpha=0.75, rasterized=len(z) > 1000)
    if coloured and y is not None:
        for c in classes:
            name = names[c] if c < len(names) else str(c)
            middle = np.median(z[y == c], axis=0)
            axes.text(
                middle[0],
                middle[1],
                name,
                ha="center",
                va="center",
                weight="bold",
                fontsize=9.5,
                path_effects=[halo()],
            )
    for radius in (1, 2) if circles else ():
        axes.add_patch(
            mpl.patches.Circle((0, 0), radius, fill=False, edgecolor=MUTED, linewidth=0.7, linestyle=(0, (2, 3)))
        )
    low, high = np.quantile(z, [0.002, 0.998], axis=0)
    middle, half = (low + high) / 2, max(1.08 * float((high - low).max()) / 2, 1e-3)
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), aspect="equal")
    axes.set_xlabel("posterior mean of z₀")
    axes.set_ylabel("posterior mean of z₁")
    return figure
