"""The section with learning curves."""

from __future__ import annotations

__all__ = ["learning_curves"]

from elbox.report import figures
from elbox.report.markup import Html, grid, section, tag
from elbox.report.subject import Subject
from elbox.report.theme import svg
from elbox.report.trained import best_epoch


def learning_curves(subject: Subject) -> Html:
    """ELBO, rate and distortion over epochs, in training and held out."""
    rows = [row for row in subject.run.metrics if row.get("distortion") is not None]
    if not rows:
        return section("Learning curves", tag("p", "The run recorded no metrics.", class_="note"))
    both = figures.rate_and_distortion(rows, rate=not subject.autoencoder)
    steep = "The steep beginning may lie outside the frame."
    if subject.autoencoder:
        said = f"Distortion of training batches and on the validation split. Lower is better. {steep}"
        return section("Learning curves", svg(both, "Distortion over epochs", said, "distortion", wide=True))
    own = any(abs(r["bound"] - r["elbo"]) > 1e-3 * abs(r["elbo"]) for r in rows if "bound" in r)
    extra = " Own bound: that of the objective, by which weights are selected." if own else ""
    curve = (
        "Held out is the validation split, at full weight whatever training weighed; the ring marks the weights that "
        f"were kept.{extra} {steep}"
    )
    parts = "The two parts of the bound, ELBO = −\u2060(distortion + rate): a code that costs more leaves out less."
    return section(
        "Learning curves",
        grid(
            svg(
                figures.elbo_curve(rows, best_epoch(subject)), "ELBO over epochs, training and held out", curve, "elbo"
            ),
            svg(both, "Distortion and rate over epochs, training and held out", parts, "parts"),
        ),
    )
