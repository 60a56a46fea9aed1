"""The package as people get it: dependencies, pins, an import that is quick and brings no extra, typed, documented."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import elbox

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
REQUIREMENTS = {*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)}


def pins() -> dict[str, list[Requirement]]:
    found = defaultdict(list)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            found[canonicalize_name(pin.name)].append(pin)
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("requirement", sorted(REQUIREMENTS))
def test_every_requirement_is_pinned_once_for_every_python(requirement: str, python: str) -> None:
    wanted = Requirement(requirement)
    on = {"python_version": python, "python_full_version": f"{python}.9"}
    here = [p for p in pins()[canonicalize_name(wanted.name)] if p.marker is None or p.marker.evaluate(on)]
    assert len(here) == 1, f"{requirement} on Python {python}: {[str(p) for p in here]}"
    (exact,) = here[0].specifier
    assert exact.operator == "=="
    assert wanted.specifier.contains(exact.version)


def test_supported_pythons_are_declared() -> None:
    prefix = "Programming Language :: Python :: "
    declared = {c.removeprefix(prefix) for c in PROJECT["classifiers"] if c.startswith(prefix + "3.")}
    assert declared == set(PYTHONS)
    assert all(p in SpecifierSet(PROJECT["requires-python"]) for p in PYTHONS)


def test_installed_version_is_the_newest_in_the_changelog() -> None:
    headings = [s for s in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if s.startswith("## ")]
    assert elbox.__version__ == PROJECT["version"] == distribution("elbox").version
    assert headings[0].split()[1] == PROJECT["version"]


def test_command_is_installed() -> None:
    (entry,) = [e for e in distribution("elbox").entry_points if e.group == "console_scripts"]
    assert entry.name == "elbox"
    assert callable(entry.load())


def test_package_is_typed() -> None:
    assert (ROOT / "elbox" / "py.typed").is_file()


def test_contributing_is_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 100


IMPORT = """
import json, sys, time
import torch
start = time.process_time()
import elbox
print(json.dumps({"seconds": time.process_time() - start, "modules": sorted(sys.modules)}))
"""


def test_import_is_quick_and_brings_no_extra_and_no_plotting() -> None:
    out = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True, cwd=ROOT)
    seen = json.loads(out.stdout)
    assert {"matplotlib", "pyarrow", "pandas", "typer"}.isdisjoint(seen["modules"])
    assert seen["seconds"] < 2
