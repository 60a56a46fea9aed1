"""Writes recipes.rst and api/*.rst from what elbox exports: a new part or recipe appears without an edit here."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import line_to_rst
from sphinx.application import Sphinx

INTERNAL = {"elbox.cli"}  # the command line has a page of its own
ORDER = (
    *("model", "terms", "priors", "likelihoods", "posteriors", "objectives", "estimators", "baselines", "schedules"),
    *("nn", "distributions", "recipes", "data", "train", "evaluate", "runs", "report", "sklearn"),
)


def write(app: Sphinx) -> None:
    source = Path(app.srcdir)
    _write(source / "recipes.rst", recipes_page())
    modules = public_modules()
    for module in modules:
        _write(source / "api" / f"{module.__name__.removeprefix('elbox.')}.rst", module_page(module))
    _write(source / "api" / "index.rst", index_page(modules))
    keep = {m.__name__.removeprefix("elbox.") for m in modules} | {"index"}
    for page in (source / "api").glob("*.rst"):
        if page.stem not in keep:
            page.unlink()


def public_modules() -> list[ModuleType]:
    import elbox

    names = [m.name for m in pkgutil.iter_modules(elbox.__path__, "elbox.") if m.name not in INTERNAL]
    rank = {f"elbox.{name}": i for i, name in enumerate(ORDER)}
    modules = [importlib.import_module(n) for n in sorted(names, key=lambda n: (rank.get(n, len(rank)), n))]
    return [m for m in modules if not m.__name__.split(".")[-1].startswith("_")]


def recipes_page() -> str:
    from elbox import recipes

    functions = dict(sorted(recipes.RECIPES.items()))
    rows = [(f":py:func:`{n} <elbox.recipes.{n}>`", _sentence(f)) for n, f in functions.items()]
    body = "\n".join(f"{n}\n{'-' * len(n)}\n\n.. autofunction:: elbox.recipes.{n}\n" for n in functions)
    return f"{_title('Recipes')}{_docstring(recipes)}\n\n{_table(rows)}\n\n{body}"


def module_page(module: ModuleType) -> str:
    parts = [_title(module.__name__), f".. automodule:: {module.__name__}\n   :no-members:\n"]
    for path, obj in _exported(module):
        kind = "class" if inspect.isclass(obj) else "function" if callable(obj) else "data"
        kind = "exception" if kind == "class" and issubclass(obj, BaseException) else kind
        options = "   :members:\n" * (kind == "class") + "   :show-inheritance:\n" * _has_base(obj)
        parts.append(f".. auto{kind}:: {path}\n{options}")
    return "\n".join(parts)


def index_page(modules: list[ModuleType]) -> str:
    pages = [(m.__name__.removeprefix("elbox."), m) for m in modules]
    rows = [(f":doc:`{m.__name__} <{page}>`", _sentence(m)) for page, m in pages]
    tree = "\n".join(f"   {page}" for page, _ in pages)
    return f"{_title('API')}{_table(rows)}\n\n.. toctree::\n   :hidden:\n\n{tree}\n"


def _exported(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Path and object of everything public: the module's own `__all__`, then what only a submodule exports."""
    seen: set[int] = set()
    submodules = [i.name for i in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{module.__name__}.")]
    for name in [module.__name__, *submodules]:
        owner = importlib.import_module(name)
        for key in getattr(owner, "__all__", ()):
            obj = getattr(owner, key)
            if id(obj) not in seen and not inspect.ismodule(obj) and not _is_recipe(obj):
                seen.add(id(obj))
                yield f"{name}.{key}", obj


def _has_base(obj: Any) -> bool:
    return inspect.isclass(obj) and obj.__bases__ != (object,)


def _is_recipe(obj: Any) -> bool:
    from elbox import recipes

    return any(obj is recipe for recipe in recipes.RECIPES.values())  # these have the page Recipes


def _sentence(obj: Any) -> str:
    first = (inspect.getdoc(obj) or "").split("\n\n")[0].replace("\n", " ")
    return line_to_rst(first)


def _docstring(module: ModuleType) -> str:
    return f".. automodule:: {module.__name__}\n   :no-members:\n   :no-index:\n"


def _table(rows: list[tuple[str, str]]) -> str:
    lines = [f"   * - {left}\n     - {right}" for left, right in rows]
    return ".. list-table::\n   :widths: 25 75\n\n" + "\n".join(lines)


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n\n"


def _write(path: Path, text: str) -> None:
    """Only if it changed: Sphinx reads a page again when its file is newer."""
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
