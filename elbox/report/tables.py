"""Sections for data that are no images: reconstructions by column, marginal distributions, a few rows in full."""

from __future__ import annotations

__all__ = ["reconstructions", "samples"]

from torch import Tensor

from elbox.report import figures
from elbox.report.markup import Html, fragment, minus, section, table, tag
from elbox.report.subject import Subject
from elbox.report.theme import svg

SHOWN = 12  # columns
ROWS = 3


def reconstructions(subject: Subject) -> Html:
    """Values against reconstructions in each column, and a few rows in full."""
    x = subject.x[:2000]
    back = subject.reconstruct(x)
    binary, names = subject.spec.kind == "binary", subject.columns[:SHOWN]
    figure = figures.reconstructed(_columns(x), _columns(back), names, binary=binary)
    if binary:
        caption = f"Mean of p(x|z) at the posterior’s mean, for {subject.split} examples that are 0 and that are 1{_first(subject)}."
    else:
        caption = (
            f"{subject.split.capitalize()} examples (across) against the mean of p(x|z) at the posterior’s mean (up){_first(subject)}. "
            "R² is the share of a column’s variance that the reconstruction explains."
        )
    drawn = svg(figure, f"Values against reconstructions in {len(names)} columns", caption, "reconstructed", wide=True)
    return section("Reconstructions", drawn, *_rows(subject, x[:ROWS], back[:ROWS]))


def samples(subject: Subject) -> Html:
    """Marginal distribution of each column in the data and in samples of the model."""
    x = subject.x
    drawn = subject.sample(4000, mean=False)
    names = subject.columns[:SHOWN]
    figure = figures.marginals(_columns(x), _columns(drawn), names, discrete=subject.spec.kind != "real")
    caption = f"Grey: {len(x)} {subject.split} examples. Blue line: 4000 samples of the model{_first(subject)}."
    return section("Samples", svg(figure, f"Histograms of data and samples in {len(names)} columns", caption, "marginals", wide=True))


def _columns(x: Tensor) -> figures.np.ndarray:
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
