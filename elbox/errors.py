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
    "check_number",
    "check_whole",
]

import math
from typing import Any


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


def check_whole(name: str, value: Any, least: int = 1, hint: str = "") -> None:
    """Refuse what is no whole number ≥ `least`; one of numpy could not be saved.

    Arguments:
        name: Of the setting.
        value: What was got for it.
        least: The smallest number that will do.
        hint: What else the message is to say.

    Raises:
        SettingError: naming the setting.

    Example:
        >>> check_whole("samples", 0)
        Traceback (most recent call last):
        elbox.errors.SettingError: got samples=0; expected a whole number ≥ 1
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingError(f"got {name}={value!r}; expected a whole number ≥ {least}{hint}")


def check_number(name: str, value: Any, *, positive: bool = False, hint: str = "") -> None:
    """Refuse what is no finite number ≥ 0, or > 0.

    Arguments:
        name: Of the setting.
        value: What was got for it.
        positive: Refuse 0 too.
        hint: What else the message is to say.

    Raises:
        SettingError: naming the setting.

    Example:
        >>> check_number("ratio", -1.0)
        Traceback (most recent call last):
        elbox.errors.SettingError: got ratio=-1.0; expected a number ≥ 0
    """
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not known or value < 0 or (positive and value == 0):
        raise SettingError(f"got {name}={value!r}; expected a number {'>' if positive else '≥'} 0{hint}")
