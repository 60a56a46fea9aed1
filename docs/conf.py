"""Sphinx settings: Markdown pages by MyST, the furo theme, formulas as MathML, recipes and API from the docstrings."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "elbox"
author = "The elbox authors"
project_copyright = author
release = version = installed_version("elbox")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml", "docstrings", "generate"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"elbox {version}"
html_static_path = ["_static"]
html_css_files = ["elbox.css"]
html_show_sphinx = False
html_copy_source = False

myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Shapes"]
python_use_unqualified_type_names = True
