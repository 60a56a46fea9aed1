"""The section about the latent space: rates, traversals, and what can be seen of it in two dimensions."""

from __future__ import annotations

__all__ = ["latent_space"]

import torch
from torch import Tensor

from elbox.evaluate import manifold
from elbox.report import figures
from elbox.report.images import Gallery, strips
from elbox.report.markup import Html, figure, fragment, grid, minus, picture, section, table, tag
from elbox.report.subject import Subject
from elbox.report.theme import CLASSES, svg

UNITS = 8  # latent dimensions that are traversed
DEVIATIONS = 2.5


def latent_space(subject: Subject, gallery: Gallery | None) -> Html:
    """The section; without a gallery, for data that are no images."""
    two = subject.codes.shape[1] == 2
    pieces = [grid(_usage(subject, wide=False), _codes(subject))] if two else [_usage(subject, wide=True)]
    pieces = [] if subject.encoderless else pieces  # there is nothing to be seen of examples
    if two and gallery is not None and subject.model.prior is not None:
        pieces.append(_manifold(subject, gallery))
    pieces.append(_traversals(subject, gallery) if gallery is not None else _effects(subject))
    return section("Latent space", *pieces)


def _usage(subject: Subject, *, wide: bool) -> Html:
    """Rate of each dimension, or the variance of its codes where the rate has no such parts."""
    used = f"{sum(subject.active)} of {len(subject.active)} dimensions are active"
    active = f"{used}: the variance of E[z|x] over the examples exceeds 0.01."
    if subject.autoencoder:
        chart = figures.rates(subject.variances, subject.active, "Variance of the codes", counted=False)
        said = "How much the codes vary in each dimension, the most variable first. An autoencoder has no rate."
        return svg(chart, "Bar chart of the variance of the codes in each dimension", said, "rates", wide=wide)
    if subject.rates:
        chart = figures.rates(subject.rates, subject.active, "Rate of each latent dimension, nats")
        said = f"What each dimension of the code costs, the dearest first; they add up to the rate. {active}"
        return svg(chart, f"Bar chart of the rate of each latent dimension; {used}", said, "rates", wide=wide)
    chart = figures.rates(subject.variances, subject.active, "Variance of the posterior means")
    said = (
        f"How much E[z|x] varies over the examples in each dimension: the rate is no sum over dimensions here. {active}"
    )
    return svg(chart, f"Bar chart of the variance of the posterior means; {used}", said, "rates", wide=wide)


def _codes(subject: Subject) -> Html:
    y = None if subject.y is None else subject.y.numpy()
    names, z = subject.data.class_names, subject.codes.numpy()
    classes = 0 if y is None else len(set(y.tolist()))
    coloured = f", coloured and named by class ({classes} of them)" if 2 <= classes <= len(CLASSES) else ""
    circles = " Dotted: one and two standard deviations of the prior." if subject.standard else ""
    chart = figures.codes(z, y, names, circles=subject.standard)
    caption = f"{len(z)} {subject.split} examples at their posterior means{coloured}.{circles}"
    return svg(
        chart, f"Scatter plot of the codes of {len(z)} {subject.split} examples in two dimensions", caption, "codes"
    )


def _manifold(subject: Subject, gallery: Gallery) -> Html:
    n = 20 if max(subject.spec.event_shape[1:]) <= 20 else 15
    png = gallery.png(manifold(subject.model, n).float().flatten(0, 1), n)
    caption = (
        f"Means of p(x|z) on a grid of {n} × {n} quantiles of the prior, (i − ½)/{n} in each direction; z₀ grows to "
        "the right, z₁ upwards. Equal areas are equally probable under the prior."
    )
    alt = f"A {n} by {n} grid of images that change gradually across the two latent dimensions"
    return fragment(tag("h3", "Manifold"), picture(png, alt, caption, wide=True))


def _traversals(subject: Subject, gallery: Gallery) -> Html:
    """Rows of images, each with one active dimension moved through the prior."""
    index, units = subject.ordinary, subject.units[:UNITS]
    if not units:
        return _unused(subject)
    ends = [subject.reach(unit, DEVIATIONS) for unit in units]
    codes = [
        subject.moved(index, unit, torch.linspace(low, high, 9)) for unit, (low, high) in zip(units, ends, strict=True)
    ]
    rows = []
    for unit, (low, high), images in zip(units, ends, subject.decode(torch.cat(codes)).split(9), strict=True):
        alt = f"Images as latent dimension {unit} goes from {low:.1f} to {high:.1f}"
        rows.append((f"z<sub>{unit}</sub>", _cost(subject, unit), gallery.png(images, 9), alt))
    spread = "the mean of the codes" if subject.model.prior is None else "the mean of the prior"
    caption = (
        f"One dimension at a time goes through {spread} ± {DEVIATIONS} standard deviations, the others stay where the "
        f"code of {subject.split} example {index} has them. The most active first."
    )
    ticks = [f"−{DEVIATIONS} sd", "mean", f"+{DEVIATIONS} sd"]
    return fragment(tag("h3", "Traversals"), figure(strips(rows, ticks), caption, wide=True))


def _effects(subject: Subject) -> Html:
    """For tables: which columns move, and from where to where, when one active dimension does."""
    index, units = subject.ordinary, subject.units[:UNITS]
    if not units:
        return _unused(subject)
    spread = subject.x.flatten(1).std(0, unbiased=False).clamp(min=1e-12)
    codes = [subject.moved(index, unit, torch.tensor(subject.reach(unit, 2.0))) for unit in units]
    rows: list[tuple[str, ...]] = []
    for unit, ends in zip(units, subject.decode(torch.cat(codes)).flatten(1).split(2), strict=True):
        moved = (ends[1] - ends[0]).abs() / spread
        told = [
            tag("span", f"{subject.columns[d]}: {_arrow(ends[:, d])}")
            for d in moved.argsort(descending=True)[:3].tolist()
        ]
        rows.append((tag("span", "z", tag("sub", str(unit))), _cost(subject, unit), fragment(*told)))
    where = "codes" if subject.model.prior is None else "prior"
    caption = (
        f"Each active dimension at −2 and +2 standard deviations of the {where}, the others where the code of "
        f"{subject.split} example {index} has them: the three columns whose mean moves most, relative to their spread."
    )
    head = ("unit", "variance" if subject.autoencoder else "rate", "columns that move most")
    return fragment(
        tag("h3", "What the units do"), table(rows, head, class_="effects"), tag("p", caption, class_="note")
    )


def _arrow(ends: Tensor) -> str:
    return minus(f"{float(ends[0]):.3g} → {float(ends[1]):.3g}")


def _cost(subject: Subject, unit: int) -> str:
    rates = subject.rates
    return f"{rates[unit]:.2f} nats" if rates else f"var. {subject.variances[unit]:.2g}"


def _unused(subject: Subject) -> Html:
    said = "No dimension is active: the code carries no information, and the decoder ignores it (posterior collapse)."
    unknown = "There are too few examples to say which dimensions are active."
    return tag("p", unknown if subject.evaluation.active_units is None else said, class_="note")
