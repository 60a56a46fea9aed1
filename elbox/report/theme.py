"""How figures look: one palette that is safe for colour-blind readers, few lines, and text of the page's own size.

A figure is inlined as SVG. Its colours are tokens that become CSS variables of the page, so that figures follow a dark
colour scheme; its text stays text.
"""

from __future__ import annotations

__all__ = [
    "CLASSES",
    "FIRST",
    "INK",
    "LINE",
    "MUTED",
    "PAPER",
    "QUIET",
    "SECOND",
    "STYLE",
    "WIDTH",
    "halo",
    "new",
    "svg",
]

import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from elbox.report import markup
from elbox.report.markup import Html, tag

INK, MUTED, LINE, PAPER = "#1b1f25", "#626b76", "#d5d9de", "#fefefe"
FIRST, SECOND, QUIET = "#0067a5", "#c9511c", "#aeb6bf"
TOKENS = {INK: "ink", MUTED: "muted", LINE: "line", PAPER: "paper", FIRST: "first", SECOND: "second", QUIET: "quiet"}

# Okabe & Ito (2008) without black and yellow, then colours of other lightness; none vanishes on white or black.
CLASSES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6d31", "#7a5195", "#9aa300", "#7f8a93")

WIDTH = 4.2  # inches: a figure is as wide as a phone, and its text as large as the page's

STYLE: Any = {  # matplotlib types the keys one by one
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.labelsize": 9,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "text.color": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
}


def new(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of phone width with its axes, row by row.

    Arguments:
        height: Inches.
        rows: Rows of axes.
        columns: Columns of axes.
        options: Handed on to `Figure.subplots`.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.ravel())


def halo() -> withStroke:
    """An outline in the colour of the page, so that text stays legible on what is drawn below it."""
    return withStroke(linewidth=2.5, foreground=PAPER)


def svg(figure: Figure, alt: str, caption: str, name: str, *, wide: bool = False) -> Html:
    """The figure as inline SVG with a caption.

    Arguments:
        figure: A figure made by `new`.
        alt: What it shows, for those who cannot see it.
        caption: What is written below it.
        name: Unique on the page; makes the ids inside unique and the same in every run.
        wide: It has a row of the page for itself.
    """
    buffer = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", dpi=180, metadata={"Date": None, "Creator": None}, transparent=True)
    drawn = _inline(buffer.getvalue(), name)
    opening = tag("svg", class_="plot", role="img", aria_label=alt)[: -len("></svg>")]
    return markup.figure(Html(drawn.replace("<svg", opening, 1)), caption, wide=wide)


def _inline(text: str, name: str) -> str:
    """An SVG document as an element of a page: no prologue, metadata, namespaces or size; colours as variables."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s(xmlns(:\w+)?|version)=\"[^\"]*\"", "", text)
    text = re.sub(r"(<svg[^>]*?) width=\"[^\"]*\"", r"\1", text, count=1)
    text = re.sub(r"(<svg[^>]*?) height=\"[^\"]*\"", r"\1", text, count=1)
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r" id=\"([^\"]+)\"", lambda m: m[0] if m[1] in used else "", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    for colour, variable in TOKENS.items():
        text = text.replace(colour, f"var(--{variable})")
    return re.sub(r">\s*\n\s*<", ">\n<", text).strip()
