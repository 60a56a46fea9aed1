"""Tables of numbers as text: one row a line, with or without a first line of names."""

from __future__ import annotations

__all__ = ["read_csv"]

import csv
import warnings
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np

from elbox.data.memory import check_memory
from elbox.data.raw import Raw, Where
from elbox.errors import DataError


def read_csv(path: Path, name: str) -> Raw:
    """A `.csv` or `.tsv` of numbers: cells apart by comma, semicolon, tab or spaces, blank lines skipped.

    The first line may hold the names of the columns. Values are whole numbers (and so may become counts) if no cell
    has a decimal point or an exponent, else real.

    Arguments:
        path: File to read.
        name: Its name for messages.

    Raises:
        DataError: naming the line and the column of the first cell that is not a number, or of the first line that is
            too short or too long.
    """
    check_memory(3 * path.stat().st_size, path.stat().st_size, name)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter, columns, skip = _head(file, name)
            file.seek(0)
            return _body(file, name, delimiter, columns, skip)
    except UnicodeDecodeError as error:
        raise DataError(
            f"got {name}, which is not UTF-8 text; expected a text file of numbers; save it as CSV in UTF-8"
        ) from error


def _head(file: TextIO, name: str) -> tuple[str | None, tuple[str, ...], int]:
    """Delimiter, column names and the number of lines before the first row."""
    for number, line in enumerate(file, start=1):
        if line.strip():
            delimiter = _delimiter(line)
            cells = _cells(line, delimiter)
            if not _is_header(cells):
                return delimiter, (), number - 1
            if cells[0] == "" and len(cells) > 1:
                raise DataError(
                    f"got a first column without a name in {name}, as if it numbered the rows; expected a name for "
                    "each column; save the table without its index"
                )
            return delimiter, tuple(cells), number
    raise DataError(f"got the empty file {name}; expected rows of numbers; check how it was saved")


def _delimiter(line: str) -> str | None:
    """The mark that parts the cells; None for white space, as `np.savetxt` writes by default."""
    mark = max(",;\t", key=line.count)
    bare = mark not in line and len(line.split()) > 1 and all(_number(cell) is not None for cell in line.split())
    return None if bare else mark


def _cells(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def _is_header(cells: list[str]) -> bool:
    """Whether a first line is names: no cell is a number, or the cells are 0, 1, 2, … as pandas names columns."""
    numbers = [_number(cell) is not None for cell in cells]
    counted = [str(i) for i in range(len(cells))]
    return not any(numbers) or (len(cells) > 2 and cells == counted)


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


class _Rows:
    """The lines that hold rows, their numbers in the file, and whether all cells are whole numbers."""

    def __init__(self, file: TextIO, skip: int) -> None:
        self.file, self.skip = file, skip
        self.lines = array("q")
        self.whole = True

    def __iter__(self) -> Iterator[str]:
        for number, line in enumerate(self.file, start=1):
            if number > self.skip and line.strip():
                self.lines.append(number)
                self.whole = self.whole and not any(mark in line for mark in ".eEnN")  # n: nan, inf
                yield line


def _body(file: TextIO, name: str, delimiter: str | None, columns: tuple[str, ...], skip: int) -> Raw:
    """All rows as one array."""
    rows = _Rows(file, skip)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of an empty file, for which there is an error below
            x = np.loadtxt(iter(rows), delimiter=delimiter, dtype=np.float64, comments=None, quotechar='"', ndmin=2)
        fault = bool(columns) and x.shape[1] != len(columns)
    except ValueError:
        fault = True
    if not rows.lines:
        raise DataError(f"got {name} with names and no row; expected rows of numbers below; check how it was saved")
    if fault:
        file.seek(0)
        raise DataError(_first_fault(file, name, delimiter, columns, skip))
    lines = rows.lines
    whole = rows.whole and np.abs(x).max() < 2**53
    return Raw(x.astype(np.int64) if whole else x, None, Where(name, columns, lambda i: f"line {lines[i]}"))


def _first_fault(file: TextIO, name: str, delimiter: str | None, columns: tuple[str, ...], skip: int) -> str:
    """What is wrong, found by a slow second reading."""
    width = len(columns)
    for number, line in enumerate(file, start=1):
        if number <= skip or not line.strip():
            continue
        cells = _cells(line, delimiter)
        width = width or len(cells)
        for j, cell in enumerate(cells[:width]):
            if _number(cell) is None:
                column = repr(columns[j]) if columns else str(j)
                got = repr(cell) if cell else "an empty cell"
                return (
                    f"got {got} in {name}, line {number}, column {column}; expected numbers, below at most one line of "
                    "names; fill in or drop missing values and encode text as numbers"
                )
        if len(cells) != width:
            got = f"{len(cells)} cell{'s' * (len(cells) > 1)}"
            return f"got {got} in {name}, line {number}; expected {width} as in the first line; mend it"
    return f"got {name}, which is not a table of numbers; expected rows of numbers; check how it was saved"
