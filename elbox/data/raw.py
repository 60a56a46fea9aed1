"""What a reader hands over: arrays as they were found, with the names that a message needs to point at a cell."""

from __future__ import annotations

__all__ = ["Raw", "Where"]

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Where:
    """Names a place in the data for a message: the file, the row (line or image file) and the column.

    Arguments:
        name: File, catalogue name or `"array"`.
        columns: Names of the columns of a table, empty if they have none.
        row: Row index to text; rows count from 0, lines of a text file from 1.

    Example:
        >>> Where("wine.csv", ("pH", "alcohol"), row=lambda i: f"line {i + 2}").cell((17, 1))
        "wine.csv, line 19, column 'alcohol'"
    """

    name: str
    columns: tuple[str, ...] = ()
    row: Callable[[int], str] = "row {}".format

    def after(self, rows: int) -> Where:
        """The names for rows that are numbered from 0 but come after so many others."""
        return replace(self, row=lambda i: self.row(i + rows))

    def cell(self, index: tuple[int, ...]) -> str:
        """Text for the element `index = (row, …)`."""
        place = f"{self.name}, {self.row(index[0])}"
        if len(index) == 2:
            return f"{place}, column {self.columns[index[1]]!r}" if self.columns else f"{place}, column {index[1]}"
        return f"{place}, pixel {index[1:]}" if len(index) > 2 else place


@dataclass(frozen=True, eq=False)
class Raw:
    """Arrays as a reader found them, before checks, splits and binarisation.

    Arguments:
        x: Values [N, …].
        y: Labels [N] (whole numbers or strings), or None.
        where: Names for messages.
        indices: Row numbers of `train`, `test` and perhaps `valid` where the source fixes them; None to draw a split.
        kind: Kind of values where the source knows it, else None to infer it.
        levels: Number of levels where the source knows it, else 0.
        class_names: Names of the classes 0 … C − 1, where the source has them.
        notes: JSON values that belong into `Data.source`, such as a count of unreadable files.
    """

    x: np.ndarray
    y: np.ndarray | None
    where: Where
    indices: dict[str, np.ndarray] | None = None
    kind: str | None = None
    levels: int = 0
    class_names: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
