"""Errors that a user can cause: one sentence each, with what was got, what was expected and what to do."""

from __future__ import annotations

__all__ = [
    "ElboxError",
    "ShapeError",
    "IncompatibleError",
    "DataError",
    "SettingError",
    "NonFiniteError",
    "RunError",
]


class ElboxError(ValueError):
    """Base of every error that elbox raises for a mistake a user can mend. The command line turns it into exit code
    2.
    """


class ShapeError(ElboxError):
    """A tensor, network output or setting has the wrong shape."""


class IncompatibleError(ElboxError):
    """Two parts do not fit each other; the message names both and a pair that works."""


class DataError(ElboxError):
    """The data cannot be read, or no likelihood here can describe them; the message names the file and the first
    offending row.
    """


class SettingError(ElboxError):
    """A setting is unknown or has the wrong type or value; the message lists the valid ones with their defaults."""


class NonFiniteError(ElboxError):
    """The training loss became NaN or infinite; the message names the step, the term and the last good checkpoint."""


class RunError(ElboxError):
    """A run folder, checkpoint or saved model is missing, damaged, or not what it is said to be."""
