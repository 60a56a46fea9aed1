"""The section that says what is wrong, as `elbox doctor` does."""

from __future__ import annotations

__all__ = ["diagnosis"]

from elbox.doctor import doctor
from elbox.report.markup import Html, section, tag
from elbox.report.subject import Subject

ABOUT = (
    "What the doctor found on at most 500 test examples; each line has the measured quantity that it rests on, and "
    "what to try."
)


def diagnosis(subject: Subject) -> Html:
    """The findings of the doctor, or that there are none."""
    lines = [tag("li", line) for line in doctor(subject.run).lines()]
    return section("Diagnosis", tag("ul", *lines), tag("p", ABOUT, class_="note"))
