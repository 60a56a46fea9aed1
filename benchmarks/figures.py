"""The figure of growth: one small panel for each curve, both axes logarithmic."""

from __future__ import annotations

__all__ = ["growth"]

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

INK, GREY, LINE = "#22272e", "#8a929b", "#0b7285"


def growth(panels: dict[str, Any], path: Path) -> Path:
    """Draw the curves, and beside each a grey line of slope 1 through its last point: growth in proportion."""
    count = len(panels)
    figure, axes = plt.subplots((count + 2) // 3, 3, figsize=(9.6, 2.7 * ((count + 2) // 3)), squeeze=False)
    for ax, panel in zip(axes.flat, panels.values()):
        _panel(ax, panel)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    figure.tight_layout(h_pad=1.6, w_pad=1.6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _panel(ax: Any, panel: dict[str, Any]) -> None:
    xs, ys = [p[0] for p in panel["points"]], [p[1] for p in panel["points"]]
    ax.plot(xs, ys, "o-", color=LINE, markersize=4, linewidth=1.6)
    ax.set_xscale("log")
    ax.set_yscale("log")
    low, high = min(ys) / 2, max(ys) * 2
    if "row and epoch" not in panel["title"]:
        ax.plot([xs[0], xs[-1]], [ys[-1] * xs[0] / xs[-1], ys[-1]], ":", color=GREY, linewidth=1, zorder=0)
    ax.set_ylim(low, high)
    ax.set_title(panel["title"], fontsize=10, loc="left", color=INK)
    ax.set_xlabel(panel["x"], fontsize=9, color=INK)
    ax.tick_params(labelsize=8, colors=INK, which="both")
    ax.grid(True, which="major", linewidth=0.4, color="#d8dde2")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
