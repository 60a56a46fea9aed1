"""What a check returns."""

from __future__ import annotations

__all__ = ["Finding"]

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Arguments:
        name: Of the check, a short name for programs.
        what: What is wrong, in plain words.
        measured: The quantity that says so, with its number and unit.
        value: The number.
        advice: What to try.
    """

    name: str
    what: str
    measured: str
    value: float
    advice: str

    def __str__(self) -> str:
        return f"{self.what}: {self.measured}; {self.advice}"
