"""Docstrings: everything public says what it does; every component has a formula, a reference and an example."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import Any

import pytest

import elbox
from tests.components import COMPONENTS
from tests.contracts.test_discovery import AXES

MODULES = [
    "elbox",
    *(m.name for m in pkgutil.walk_packages(elbox.__path__, "elbox.") if not m.name.endswith("__main__")),
]
CORE = [m for m in MODULES if m.split(".")[1:2] in [[a] for a in (*AXES, "parts", "terms", "draws", "spec", "model")]]
ELEMENTARY = {  # nothing to cite
    "nn.Standardize",
    "schedules.Constant",
    "distributions.Delta",
    "distributions.diagonal_normal",
}
FORMULA = re.compile(r"[=≤∫Σ↦∼~]")
CITATION = re.compile(r"\(\d{4}\)|\(\w[^()]*, \d{4}[a-z]?(,[^()]*)?\)")


def public(module: str) -> list[tuple[str, Any]]:
    """Classes and functions that a module defines and exports."""
    m = importlib.import_module(module)
    found = [(f"{module}.{n}", getattr(m, n)) for n in getattr(m, "__all__", [])]
    return [(n, o) for n, o in found if (inspect.isclass(o) or inspect.isfunction(o)) and o.__module__ == module]


@pytest.mark.parametrize("module", MODULES)
def test_module_and_all_that_it_exports_have_a_docstring(module: str) -> None:
    assert (importlib.import_module(module).__doc__ or "").strip(), module
    for name, obj in public(module):
        assert (inspect.getdoc(obj) or "").strip(), name


@pytest.mark.parametrize("module", CORE)
def test_public_methods_have_a_docstring(module: str) -> None:
    for name, cls in public(module):
        if inspect.isclass(cls):
            methods = [n for n, o in vars(cls).items() if inspect.isroutine(o) and not n.startswith("_")]
            bare = [n for n in methods if not inspect.getdoc(getattr(cls, n)) and not inspect.isabstract(cls)]
            assert not bare, f"{name}: {bare}"


@pytest.mark.parametrize("name", COMPONENTS)
def test_docstring_of_a_component(name: str) -> None:
    axis, attribute = name.split(".")
    obj = getattr(importlib.import_module(f"elbox.{axis}"), attribute)
    doc = inspect.getdoc(obj) or ""
    first = doc.split("\n\n")[0]
    assert first, "one sentence, or the formula, comes first"
    assert FORMULA.search(doc) or "Arguments:" in doc, "a formula, or the arguments"
    assert "Example:" in doc, "an example"
    assert ">>> " in doc, "an example that runs as a doctest"
    if name not in ELEMENTARY:
        assert "Reference:" in doc or CITATION.search(doc), "a reference: authors (year)"
        assert re.search(r"\b(19|20)\d{2}\b", doc), "the year of the reference"


@pytest.mark.parametrize("name", [n for n in COMPONENTS if n.split(".")[0] != "recipes"])
def test_every_argument_is_documented(name: str) -> None:
    axis, attribute = name.split(".")
    obj = getattr(importlib.import_module(f"elbox.{axis}"), attribute)
    parameters = [p.name for p in inspect.signature(obj).parameters.values() if p.kind is not p.VAR_KEYWORD]
    plain = axis in ("estimators", "baselines", "flows") and parameters == ["args"]  # no constructor
    parameters = [] if plain else parameters
    assert [a for a in parameters if f"\n    {a}: " not in (inspect.getdoc(obj) or "")] == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_at_most_eight_arguments_and_booleans_by_name(name: str) -> None:
    axis, attribute = name.split(".")
    parameters = inspect.signature(getattr(importlib.import_module(f"elbox.{axis}"), attribute)).parameters
    assert len(parameters) <= 8
    for p in parameters.values():
        assert "bool" not in str(p.annotation) or p.kind is p.KEYWORD_ONLY, p
