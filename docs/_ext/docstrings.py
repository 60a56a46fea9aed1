r"""Docstrings are written to be read in an editor: `code`, \( formula \), p(x|z), an indented display formula.

This turns them into reStructuredText before napoleon reads their sections: a name of the public API in backticks
becomes a link, and the characters |, * and _ of Unicode formulas are kept as they are.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from typing import Any

from sphinx.application import Sphinx

SECTION = re.compile(r"^\s*(Arguments|Raises|Returns|Yields|Shapes|Example|Examples|Note|Notes|References):\s*$")
VERBATIM = re.compile(
    r"(?P<role>:[\w:]+:`[^`]+`)|(?P<math>\\\(.+?\\\))|(?P<literal>``.+?``)|`(?P<code>[^`]+)`|(?P<emphasis>\*\*?(?=[^\s*])[^*]*[^\s*]\*\*?)"
)
LIST_ITEM = re.compile(r"^\s*([-*]|\d+\.)\s")


@functools.cache
def public_names() -> dict[str, str]:
    """Short name -> path, for everything in the `__all__` of a subpackage or module of elbox."""
    import elbox

    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(elbox.__path__, "elbox."):
        for name in getattr(importlib.import_module(module.name), "__all__", ()):
            found.setdefault(name, f"{module.name}.{name}")
    return found


def line_to_rst(line: str) -> str:
    out, end = "", 0
    for match in VERBATIM.finditer(line):
        out += _escaped(line[end : match.start()]) + _verbatim(match)
        end = match.end()
    return out + _escaped(line[end:])


def _escaped(text: str) -> str:
    return re.sub(r"([\\|_]|(?<!^)\*|\*(?=\w))", r"\\\1", text)


def _verbatim(match: re.Match[str]) -> str:
    if match["math"]:
        return rf"\ :math:`{match['math'][2:-2].strip()}`\ "
    if match["code"]:
        path = public_names().get(match["code"].removesuffix("()"))
        return rf"\ :py:obj:`{match['code']} <{path}>`\ " if path else rf"\ ``{match['code']}``\ "
    return match[0]


def to_rst(lines: list[str]) -> list[str]:
    """The lines of one docstring as reStructuredText."""
    out: list[str] = []
    in_section = in_doctest = in_formula = False
    for number, line in enumerate(lines):
        indented, blank = line.startswith("    "), not line.strip()
        in_section = bool(SECTION.match(line)) or (in_section and (indented or blank))
        in_doctest = line.lstrip().startswith(">>>") or (in_doctest and not blank)
        starts = indented and not in_section and not in_doctest and (number == 0 or not lines[number - 1].strip())
        in_formula = (starts and not LIST_ITEM.match(line)) or (in_formula and indented)
        if in_doctest or blank or SECTION.match(line):
            out.append(line)
        elif in_formula:
            out += [".. rst-class:: formula", ""] * starts + [f"| {line_to_rst(line.strip())}"]
        else:
            stripped = line.lstrip()
            out.append(line[: len(line) - len(stripped)] + line_to_rst(stripped))
    return out


def process(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if what == "data" and "\n".join(lines).strip() == (inspect.getdoc(type(obj)) or "").strip():
        lines.clear()  # a constant without a docstring would show that of dict or tuple
    lines[:] = to_rst(_display_math(lines))
    if lines and what in ("property", "attribute", "data"):
        lines.insert(0, r"\ ")  # else napoleon takes what stands before a colon in the first line for a type


def _display_math(lines: list[str]) -> list[str]:
    r"""Writes \[ … \] as one line, \( … \), centred by the formula block that its indentation makes."""
    text = re.sub(
        r"\\\[(.+?)\\\]", lambda m: "    \\(" + " ".join(m[1].split()) + "\\)", "\n".join(lines), flags=re.DOTALL
    )
    return text.split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process, priority=400)  # napoleon runs at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
