"""Formulas as MathML, which browsers show by themselves: pages need no script and no network."""

from __future__ import annotations

import re
from html import escape

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

MACROS = {
    "KL": r"\operatorname{KL}",
    "E": r"\mathbb{E}",
    "N": r"\mathcal{N}",
    "softmax": r"\operatorname{softmax}",
    "diag": r"\operatorname{diag}",
}
NUMBERED = re.compile(r"\{(align|gather|equation)\}")  # pages refer to formulas by words, not by number
converter = LatexToMathML(macros=MACROS, fancy_error=False, annotation=True)
log = logging.getLogger(__name__)


def to_mathml(node: nodes.Element, displaystyle: bool) -> str:
    latex = NUMBERED.sub(r"{\1*}", node.astext())
    if displaystyle and r"\\" in latex and not latex.lstrip().startswith(r"\begin"):
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    try:
        return converter.convert_with_local_state(latex, displaystyle=displaystyle)
    except LatexError as error:
        log.warning("%s in the formula %s", error, latex, location=node)
        return f"<code>{escape(latex)}</code>"


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(to_mathml(node, displaystyle=False))
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(to_mathml(node, displaystyle=True) + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
