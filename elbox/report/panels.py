"""Figures of tables: a small panel for each column."""

from __future__ import annotations

__all__ = ["frequencies", "marginals", "reconstructed"]

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from elbox.report.markup import minus
from elbox.report.theme import FIRST, INK, LINE, MUTED, QUIET, STYLE, WIDTH, halo, new


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
        ax.scatter(
            column[:600], guess[:600], s=4, linewidths=0, color=FIRST, alpha=0.6, rasterized=len(x) * len(names) > 1500
        )
        ax.set(xlim=(low, high), ylim=(low, high))
        _two_ticks(ax.xaxis, ax.yaxis)
        spread = float(np.var(column))
        explained = 1 - float(np.mean((column - guess) ** 2)) / spread if spread > 0 else float("nan")
        ax.text(0.04, 0.96, minus(f"R² {explained:.2f}"), transform=ax.transAxes, va="top", fontsize=8,
                path_effects=[halo()])  # fmt: skip
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
        _two_ticks(ax.xaxis, whole=discrete)
    return figure


@mpl.rc_context(STYLE)
def frequencies(x: np.ndarray, drawn: np.ndarray, names: Sequence[str]) -> Figure:
    """How often each column is 1: a grey dot for the data, a blue one for samples of the model.

    Arguments:
        x: Data [N, columns], zeros and ones.
        drawn: Samples [M, columns].
        names: Names of the columns.
    """
    figure, (axes,) = new(0.75 + 0.24 * len(names))
    data, model, rows = x.mean(0), drawn.mean(0), np.arange(len(names))
    axes.hlines(rows, data, model, color=LINE, linewidth=2)
    axes.plot(data, rows, "o", color=QUIET, markersize=6)
    axes.plot(model, rows, "o", color=FIRST, markersize=6, markerfacecolor="none", markeredgewidth=1.5)
    axes.set_yticks(rows, [_short(n, 22) for n in names], color=INK, parse_math=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.4, -0.6), xlabel="share of ones")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)
    return figure


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _panels(names: Sequence[str]) -> tuple[Figure, list[Axes]]:
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, axes = new(0.3 + (WIDTH / columns * 0.95 if columns == 3 else WIDTH / columns * 0.8) * rows, rows, columns)
    for ax, name in zip(axes, names, strict=False):
        ax.set_title(_short(name, 15), fontsize=8, parse_math=False)
        ax.tick_params(labelsize=7)
        ax.ticklabel_format(style="sci", scilimits=(-3, 4), useOffset=False)
        for offset in (ax.xaxis.offsetText, ax.yaxis.offsetText):
            offset.set(fontsize=6.5, color=MUTED)
    for ax in axes[len(names) :]:
        ax.remove()
    return figure, axes[: len(names)]


def _two_ticks(*sides: Axis, whole: bool = False) -> None:
    """Round numbers near both ends: more would run into each other in a small panel."""
    for axis in sides:
        low, high = axis.get_view_interval()
        round_ = [
            t
            for t in MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], integer=whole).tick_values(low, high)
            if low <= t <= high
        ]
        axis.set_ticks([round_[0], round_[-1]] if len(round_) > 1 else round_)


def _split_histogram(axes: Axes, column: np.ndarray, guess: np.ndarray) -> None:
    edges = np.linspace(0, 1, 11)
    for value, colour in ((0, QUIET), (1, FIRST)):
        chosen = guess[column == value]
        if len(chosen):
            axes.stairs(_share(chosen, edges), edges, color=colour, linewidth=1.3, fill=value == 0)
    axes.set(xlim=(0, 1), ylim=(0, None), yticks=[])
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
