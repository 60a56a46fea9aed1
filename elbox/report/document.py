"""The page: sections one after the other, in one file that needs nothing else."""

from __future__ import annotations

__all__ = ["page", "write"]

from pathlib import Path

from elbox.errors import RunError
from elbox.evaluate import Evaluation
from elbox.report.diagnosis import diagnosis
from elbox.report.markup import Html, fragment, tag
from elbox.report.results import headline, results
from elbox.report.style import CSS
from elbox.report.subject import Subject
from elbox.report.trained import summary, title, what_was_trained
from elbox.runs import Run
from elbox.train.checkpoint import write_text


def write(run: Run, evaluation: Evaluation) -> Path:
    """Write the report into the run's folder.

    Arguments:
        run: A run with a folder.
        evaluation: What `run.evaluate()` returned.

    Returns:
        The path of report.html.

    Raises:
        RunError: if the run has no folder.
    """
    if run.folder is None:
        raise RunError(
            "got a run without a folder; expected one that was fitted with out=...: save it first, or use page()"
        )
    path = run.folder / "report.html"
    write_text(path, page(run, evaluation))
    return path


def page(run: Run, evaluation: Evaluation) -> str:
    """The report as one HTML document: no network, no scripts, every figure inline.

    The same run and evaluation give the same page. Global random state and the model's mode are left as they were.

    Arguments:
        run: A trained model with its record.
        evaluation: What `run.evaluate()` returned.
    """
    subject = Subject(run, evaluation)
    name = title(subject)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{name}: elbox report"),
        tag("style", Html(CSS)),
    )
    body = tag(
        "main",
        _header(subject, name),
        what_was_trained(subject),
        results(subject),
        diagnosis(subject),
        *_pictures(subject),
        _footer(run),
    )
    return Html("<!DOCTYPE html>\n") + tag("html", head, tag("body", body), lang="en")


def _header(subject: Subject, name: str) -> Html:
    return tag("header", tag("h1", name), tag("p", summary(subject), class_="lead"), headline(subject))


def _pictures(subject: Subject) -> list[Html]:
    from elbox.report import images, tables  # these import matplotlib, which takes a while: only when a page is made
    from elbox.report.curves import learning_curves
    from elbox.report.latent import latent_space

    if not subject.spec.is_image:
        sampled = fragment() if subject.model.prior is None else tables.samples(subject)
        return [learning_curves(subject), tables.reconstructions(subject), sampled, latent_space(subject, None)]
    gallery = images.Gallery(subject)
    sampled = fragment() if subject.model.prior is None else images.samples(subject, gallery)
    shown = [learning_curves(subject), images.reconstructions(subject, gallery), sampled]
    return [*shown, images.interpolations(subject, gallery), latent_space(subject, gallery)]


def _footer(run: Run) -> Html:
    version = run.info.get("versions", {}).get("elbox", "")
    return tag(
        "footer", f"Made by elbox {version}. Log-densities are in nats, summed over the dimensions of an example."
    )
