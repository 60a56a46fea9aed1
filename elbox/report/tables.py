"""Sections for data that are no images: reconstructions by column, marginal distributions, a few rows in full."""

from __future__ import annotations

__all__ = ["reconstructions", "samples"]

import numpy as np
from torch import Tensor

from elbox.report import panels
from elbox.report.markup import Html, minus, section, table, tag
from elbox.report.subject import Subject
from elbox.report.theme import svg

SHOWN = 12  # columns
ROWS = 3
NUMBERS = 20_000_000  # that are sampled at most


def reconstructions(subject: Subject) -> Html:
    """Values against reconstructions in each column, and a few rows in full."""
    x = subject.x[:2000]
    back = subject.reconstruct(x)
    binary, names = subject.spec.kind == "binary", subject.columns[:SHOWN]
    figure = panels.reconstructed(_columns(x), _columns(back), names, binary=binary)
    if binary:
        caption = (
            f"Histograms of the mean of p(x|z): grey for {subject.split} examples with x = 0, blue for those with "
            f"x = 1{_first(subject)}. The less they overlap, the more of the column the code keeps."
        )
    else:
        caption = (
            f"{subject.split.capitalize()} examples (across) against the mean of p(x|z) for their codes "
            f"(up){_first(subject)}. R² is the share of a column’s variance that the reconstruction explains."
        )
    drawn = svg(figure, f"Values against reconstructions in {len(names)} columns", caption, "reconstructed", wide=True)
    return section("Reconstructions", drawn, *_rows(subject, x[:ROWS], back[:ROWS]))


def samples(subject: Subject) -> Html:
    """Marginal distribution of each column in the data and in samples of the model."""
    x = subject.x
    drawn = subject.sample(max(100, min(4000, NUMBERS // subject.spec.dims)), mean=False)
    names = subject.columns[:SHOWN]
    if subject.spec.kind == "binary":
        figure = panels.frequencies(_columns(x), _columns(drawn), names)
        caption = (
            f"How often a column is 1. Grey: in {len(x)} {subject.split} examples. Blue ring: in {len(drawn)} "
            f"samples of the model{_first(subject)}."
        )
        return section(
            "Samples", svg(figure, f"Shares of ones in {len(names)} columns", caption, "frequencies", wide=True)
        )
    figure = panels.marginals(_columns(x), _columns(drawn), names, discrete=subject.spec.is_discrete)
    caption = f"Grey: {len(x)} {subject.split} examples. Blue line: {len(drawn)} samples of the model{_first(subject)}."
    return section(
        "Samples",
        svg(figure, f"Histograms of data and samples in {len(names)} columns", caption, "marginals", wide=True),
    )


def _columns(x: Tensor) -> np.ndarray:
    return x.flatten(1)[:, :SHOWN].double().numpy()


def _first(subject: Subject) -> str:
    return f"; the first {SHOWN} of {subject.spec.dims} columns" if subject.spec.dims > SHOWN else ""


def _rows(subject: Subject, x: Tensor, back: Tensor) -> list[Html]:
    """Some examples and their reconstructions, number by number."""
    head = ["", *(tag("span", t) for i in range(len(x)) for t in (f"example {i}", "mean"))]
    columns = zip(subject.columns, x.flatten(1).T.tolist(), back.flatten(1).T.tolist(), strict=True)
    body = []
    for _, (name, values, means) in zip(range(SHOWN), columns, strict=False):
        cells = [cell for v, m in zip(values, means, strict=True) for cell in (_number(v), tag("b", _number(m)))]
        body.append((name, *cells))
    return [tag("h3", "A few rows"), table(body, head, class_="values")]


def _number(value: float) -> str:
    return minus(f"{value:.4g}")
