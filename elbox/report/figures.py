"""The figures of a report, one function each, as matplotlib figures; nothing here touches pyplot's global state."""

from __future__ import annotations

__all__ = ["codes", "elbo_curve", "marginals", "rate_and_distortion", "rates", "reconstructed"]

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from elbox.report.markup import minus
from elbox.report.theme import CLASSES, FIRST, INK, LINE, MUTED, PAPER, QUIET, SECOND, STYLE, WIDTH, new

Rows = Sequence[dict[str, Any]]


# ── learning curves ──────────────────────────────────────────────────────────────────────────────────────────────────


@mpl.rc_context(STYLE)
def elbo_curve(metrics: Rows, best: int | None = None) -> Figure:
    """ELBO in training and held out over epochs; the epoch whose weights were kept is marked.

    Arguments:
        metrics: Rows of metrics.jsonl.
        best: Epoch of the weights that were kept.
    """
    figure, (axes,) = new(3.0)
    lines = [_series(metrics, split, "elbo") for split in ("train", "held_out")]
    bound = _series(metrics, "held_out", "bound")
    if len(bound[0]) and not np.allclose(bound[1], lines[1][1], rtol=1e-5, atol=1e-3):
        lines.append(bound)  # selection went by another bound than the ELBO
    _draw(axes, lines, ("training", "held out", "held out,\nIWAE bound" if len(lines) == 3 else ""))
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
    seen = [y[x >= min(1 + 0.05 * last, x[-1])] for x, y in lines if len(x)]
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
            name, (1, place), xycoords="axes fraction", xytext=(5, 0), textcoords="offset points", color=colour, va="center",
            fontsize=8.5,
        )  # fmt: skip


def _mark_best(axes: Axes, line: tuple[np.ndarray, np.ndarray], best: int | None) -> None:
    x, y = line
    if best is None or best not in x:
        return
    value = float(y[x == best][0])
    axes.plot([best], [value], "o", markersize=7, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1)
    told = minus(f"best held out {value:.2f}, epoch {best}")
    axes.set_title(told, loc="right", fontweight="normal", fontsize=8.5, color=MUTED)


def _halo() -> withStroke:
    return withStroke(linewidth=2.5, foreground=PAPER)


# ── latent space ─────────────────────────────────────────────────────────────────────────────────────────────────────


@mpl.rc_context(STYLE)
def rates(values: Sequence[float], active: Sequence[bool], *, variance: bool = False) -> Figure:
    """One bar for each latent dimension, the largest first; dimensions that are not active are grey.

    Arguments:
        values: Rate of each dimension in nats, or the variance of its posterior means.
        active: Which dimensions are active.
        variance: The values are variances, drawn on a logarithmic axis with the threshold of activity.
    """
    figure, (axes,) = new(2.5)
    order = sorted(range(len(values)), key=lambda d: -values[d])
    place = np.arange(len(order))
    heights = np.array([max(values[d], 1e-6 if variance else 0.0) for d in order])
    axes.bar(place, heights, width=0.78 if len(order) <= 60 else 1.0, color=[FIRST if active[d] else QUIET for d in order])
    axes.set_title("Variance of posterior means" if variance else "Rate of each latent dimension, nats")
    axes.set_xlabel("latent dimension")
    if variance:
        axes.set_yscale("log")
        axes.axhline(0.01, color=SECOND, linewidth=1)
        axes.annotate("active above 0.01", (1, 0.01), xycoords=("axes fraction", "data"), xytext=(0, 4), ha="right",
                      textcoords="offset points", color=SECOND, fontsize=8.5, path_effects=[_halo()])  # fmt: skip
    if len(order) <= 24:
        axes.set_xticks(place, [str(d) for d in order], fontsize=8 if len(order) <= 16 else 7)
    else:
        axes.set_xlabel("latent dimensions, sorted")
    axes.tick_params(axis="x", length=0)
    spare = max(0, 6 - len(order)) / 2  # two bars are no wider than six would be
    axes.set_xlim(-0.6 - spare, len(order) - 0.4 + spare)
    axes.set_title(f"{sum(active)} of {len(order)} active", loc="right", fontweight="normal", fontsize=8.5, color=MUTED)
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
            axes.text(middle[0], middle[1], name, ha="center", va="center", weight="bold", fontsize=9.5, path_effects=[_halo()])
    for radius in (1, 2) if circles else ():
        axes.add_patch(mpl.patches.Circle((0, 0), radius, fill=False, edgecolor=MUTED, linewidth=0.7, linestyle=(0, (2, 3))))
    low, high = np.quantile(z, [0.002, 0.998], axis=0)
    middle, half = (low + high) / 2, max(1.08 * float((high - low).max()) / 2, 1e-3)
    axes.set(xlim=(middle[0] - half, middle[0] + half), ylim=(middle[1] - half, middle[1] + half), aspect="equal")
    axes.set_xlabel("posterior mean of z₀")
    axes.set_ylabel("posterior mean of z₁")
    return figure


# ── tables ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@mpl.rc_context(STYLE)
def reconstructed(x: np.ndarray, mean: np.ndarray, names: Sequence[str], *, binary: bool = False) -> Figure:
    """Each column's values against their reconstructions, with the share of the variance that they explain.

    Arguments:
        x: Values [N, columns].
        mean: Means of p(x|z) [N, columns].
        names: Names of the columns.
        binary: Show the distribution of P(1) for zeros and for ones instead.
    """
    figure, axes = _panels(names)
    for ax, column, guess in zip(axes, x.T, mean.T, strict=False):
        if binary:
            _split_histogram(ax, column, guess)
            continue
        low, high = _span(column)
        ax.plot([low, high], [low, high], color=LINE, linewidth=0.8, zorder=0)
        ax.scatter(column[:600], guess[:600], s=4, linewidths=0, color=FIRST, alpha=0.6, rasterized=len(x) * len(names) > 1500)
        ax.set(xlim=(low, high), ylim=(low, high))
        _two_ticks(ax.xaxis, ax.yaxis)
        spread = float(np.var(column))
        explained = 1 - float(np.mean((column - guess) ** 2)) / spread if spread > 0 else float("nan")
        ax.text(0.04, 0.96, minus(f"R² {explained:.2f}"), transform=ax.transAxes, va="top", fontsize=8,
                path_effects=[_halo()])  # fmt: skip
    figure.supxlabel("P(x = 1)" if binary else "value x", fontsize=9, color=MUTED)
    figure.supylabel("share of examples" if binary else "reconstruction", fontsize=9, color=MUTED)
    return figure


@mpl.rc_context(STYLE)
def marginals(x: np.ndarray, drawn: np.ndarray, names: Sequence[str], *, discrete: bool = False) -> Figure:
    """Histograms of each column: the data filled, samples of the model as a line.

    Arguments:
        x: Data [N, columns].
        drawn: Samples [M, columns].
        names: Names of the columns.
        discrete: Values are whole numbers.
    """
    figure, axes = _panels(names)
    for ax, column, sampled in zip(axes, x.T, drawn.T, strict=False):
        edges = _edges(column, sampled, discrete)
        ax.stairs(_share(column, edges), edges, fill=True, color=QUIET)
        ax.stairs(_share(sampled, edges), edges, color=FIRST, linewidth=1.3)
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylim(bottom=0)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        _two_ticks(ax.xaxis)
    return figure


def _panels(names: Sequence[str]) -> tuple[Figure, list[Axes]]:
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = new(0.3 + (WIDTH / columns * 0.95 if columns == 3 else WIDTH / columns * 0.8) * rows, rows, columns)
    for ax, name in zip(axes, names, strict=False):
        ax.set_title(name if len(name) <= 15 else f"{name[:14]}…", fontsize=8, parse_math=False)
        ax.tick_params(labelsize=7)
        ax.ticklabel_format(style="sci", scilimits=(-3, 4), useOffset=False)
        for offset in (ax.xaxis.offsetText, ax.yaxis.offsetText):
            offset.set(fontsize=6.5, color=MUTED)
    for ax in axes[len(names) :]:
        ax.remove()
    return figure, axes[: len(names)]


def _two_ticks(*sides: Axis) -> None:
    """Round numbers near both ends: more would run into each other in a small panel."""
    for axis in sides:
        low, high = axis.get_view_interval()
        round_ = [t for t in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if low <= t <= high]
        axis.set_ticks([round_[0], round_[-1]] if len(round_) > 1 else round_)


def _split_histogram(axes: Axes, column: np.ndarray, guess: np.ndarray) -> None:
    edges = np.linspace(0, 1, 21)
    for value, colour in ((0, MUTED), (1, FIRST)):
        chosen = guess[column == value]
        if len(chosen):
            share = _share(chosen, edges)
            axes.stairs(share, edges, color=colour, linewidth=1.3)
            axes.annotate(f"x={value}", (edges[share.argmax()] + 0.025, share.max()), fontsize=7.5, color=colour, ha="center",
                          xytext=(0, 2), textcoords="offset points", annotation_clip=False)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, None), yticks=[])
    axes.margins(y=0.2)
    axes.set_xticks([0, 1])


def _span(column: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(column, [0.005, 0.995])
    pad = 0.08 * (high - low) or 1.0
    return float(low - pad), float(high + pad)


def _edges(column: np.ndarray, drawn: np.ndarray, discrete: bool) -> np.ndarray:
    both = np.concatenate([column, drawn])
    low, high = np.quantile(both, [0.002, 0.998])
    if discrete and high - low <= 40:
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    bins = int(np.clip(1.5 * np.sqrt(len(column)), 8, 30))  # few data make a jagged histogram
    return np.linspace(low, high if high > low else low + 1, bins + 1)


def _share(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of all values in each bin; what lies outside counts in the total, so that tails are not hidden."""
    return np.histogram(values, edges)[0] / max(1, len(values))
