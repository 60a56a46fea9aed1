"""Everything exported is in the table of components, and everything in the table is exported."""

from __future__ import annotations

import importlib
import inspect

import pytest

from elbox import VAE, parts
from tests.components import COMPONENTS, make

AXES = (
    "priors",
    "posteriors",
    "likelihoods",
    "objectives",
    "estimators",
    "baselines",
    "kernels",
    "nn",
    "flows",
    "schedules",
    "distributions",
    "recipes",
)
NOT_COMPONENTS = {
    "estimators.Estimate": "the record that an estimator returns",
    "baselines.Signal": "the record that a baseline returns",
    "schedules.value_at": "applies a schedule or a number",
    "schedules.check_weight": "refuses what is neither a schedule nor a number",
    "distributions.Elliptical": "the base of two distributions, abstract but for torch's metaclass",
    "distributions.MultivariateNormal": "torch's own with torch's arguments; tests/test_elliptical.py",
    "distributions.OwnDraws": "the base of posteriors' own distributions, abstract; tests/closed_form/test_passes.py",
    "distributions.soft_clip": "a function of a tensor",
    "recipes.RECIPES": "the table of recipes",
    "recipes.Recipe": "the record that a recipe returns",
    "recipes.recipe": "the decorator",
}


def exported() -> set[str]:
    """Names in `__all__` of the axes, less abstract classes and the few listed above."""
    found = set()
    for axis in AXES:
        module = importlib.import_module(f"elbox.{axis}")
        found |= {f"{axis}.{n}" for n in module.__all__ if not inspect.isabstract(getattr(module, n))}
    return found - set(NOT_COMPONENTS)


def test_every_exported_component_has_an_entry() -> None:
    assert exported() - set(COMPONENTS) == set(), "add these to tests/components.py"


def test_every_entry_is_exported() -> None:
    assert set(COMPONENTS) - exported() == set(), "export these from their axis"


def test_every_part_is_in_an_entry() -> None:
    entries = {type(make(name)) for name in COMPONENTS} | {VAE}
    core = {cls for name, cls in parts.PARTS.items() if name.split(".")[1] in AXES}
    assert core - entries == set(), "add these to tests/components.py"


@pytest.mark.parametrize("name", COMPONENTS)
def test_entry_makes_what_it_names(name: str) -> None:
    axis, attribute = name.split(".")
    exported = getattr(importlib.import_module(f"elbox.{axis}"), attribute)
    if inspect.isclass(exported):
        assert type(make(name)) is exported
