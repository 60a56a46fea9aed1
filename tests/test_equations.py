"""docs/equations.md quotes lines of code: the quotes are true, and so are the line numbers.

`python -m tests.test_equations` writes the numbers anew after the code has moved.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "equations.md"
ROW = re.compile(r"`(?P<code>[^`]+)` \| `(?P<path>[\w/]+\.py):(?P<line>\d+)` \|$", re.MULTILINE)


def numbered(text: str) -> str:
    """The page with the number of the line that each row quotes."""

    def of(match: re.Match[str]) -> str:
        lines = (ROOT / match["path"]).read_text(encoding="utf-8").splitlines()
        found = [number for number, line in enumerate(lines, 1) if match["code"] in line]
        assert found, f"{match['path']} has no line with {match['code']!r}: quote it anew in docs/equations.md"
        line = min(found, key=lambda number: abs(number - int(match["line"])))  # of several, the one meant before
        return f"`{match['code']}` | `{match['path']}:{line}` |"

    return ROW.sub(of, text)


def test_quotes_and_line_numbers_are_true() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(ROW.findall(text)) == len(re.findall(r"^\| (?!\||---)", text, re.MULTILINE)) > 40, "a row without code"
    assert text == numbered(text), "the code has moved; run python -m tests.test_equations"


if __name__ == "__main__":
    PAGE.write_text(numbered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
