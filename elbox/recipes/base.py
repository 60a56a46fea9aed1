"""What a recipe is: a model, an objective and an estimator, and the call that made them."""

from __future__ import annotations

__all__ = ["RECIPES", "Recipe", "check_settings", "default_likelihood", "named", "recipe", "settings_of", "shown"]

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch

from elbox import likelihoods
from elbox.errors import IncompatibleError, SettingError
from elbox.estimators import Estimator
from elbox.likelihoods.base import DEFAULTS, Likelihood
from elbox.model import VAE
from elbox.objectives import Objective
from elbox.parts import ACTIVATIONS, from_tree, to_tree
from elbox.spec import DataSpec

RECIPES: dict[str, Callable[..., Recipe]] = {}
_outer_seed: ContextVar[int | None] = ContextVar("_outer_seed", default=None)  # while a recipe is being made


@dataclass(frozen=True)
class Recipe:
    """All that training needs to know of a model.

    Arguments:
        model: The joint model.
        objective: What training maximises.
        estimator: How its gradient is estimated.
        pretraining: Another recipe for the same parts, the same objects, that is trained first; None for none.
        share: Passes of pretraining over the data, as a fraction of those that follow; at least one is made.

    `name` and `settings` are those of the recipe function that made it; `dataclasses.replace(recipe, estimator=...)`
    changes a part and drops them, and the recipe is then saved part by part.

    Example:
        >>> import elbox
        >>> r = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> r.name, r.settings["latent"]
        ('vae', 2)
    """

    model: VAE
    objective: Objective
    estimator: Estimator
    pretraining: Recipe | None = None
    share: float = 0.0
    name: str = field(default="", init=False)
    settings: dict[str, Any] = field(default_factory=dict, init=False)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values from which `from_json` makes the same recipe (without trained weights)."""
        if self.name:
            return {"recipe": self.name, "settings": {k: to_tree(v) for k, v in self.settings.items()}}
        return {"parts": to_tree(self._parts())}

    @staticmethod
    def from_json(d: dict[str, Any], spec: DataSpec, allow: tuple[type, ...] = ()) -> Recipe:
        """The recipe that `to_json` described, for data of this spec.

        Arguments:
            d: What `to_json` returned.
            spec: Shape and kind of the data.
            allow: Classes outside elbox that it may name.

        Raises:
            SettingError: if it names an unknown recipe.
            RunError: if it names a class that is not allowed.
        """
        if "parts" in d:
            return Recipe._of(from_tree(d["parts"], allow))
        return named(d["recipe"])(spec, **from_tree({"dict": d["settings"]}, allow))

    def _parts(self) -> list[Any]:
        own = [self.model, self.objective, self.estimator]
        return own if self.pretraining is None else [*own, self.pretraining._parts(), self.share]

    @staticmethod
    def _of(parts: Any) -> Recipe:
        model, objective, estimator, *more = parts
        return Recipe(model, objective, estimator, *([Recipe._of(more[0]), more[1]] if more else []))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds torch, and tells recipes called inside."""
    torch.manual_seed(seed)
    token = _outer_seed.set(seed)
    try:
        yield
    finally:
        _outer_seed.reset(token)


def recipe(function: Callable[..., Recipe]) -> Callable[..., Recipe]:
    """Decorator: enters a recipe in `RECIPES`, captures its settings, and seeds it before any parameter is made.

    The decorated function takes one more setting, `seed` (default 0): the same seed gives the same initial weights,
    whatever was drawn before. A recipe that calls another hands its seed down.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def captured(data: DataSpec, *args: Any, seed: int | None = None, **kwargs: Any) -> Recipe:
        number = _outer_seed.get() or 0 if seed is None else seed
        bound = signature.bind_partial(data, *args)
        check_settings(function, dict(list(bound.arguments.items())[1:]) | kwargs | {"seed": number})
        bound = signature.bind(data, *args, **kwargs)
        bound.apply_defaults()
        with torch.random.fork_rng(), _seeded(number):
            made = function(*bound.args, **bound.kwargs)
        settings = dict(list(bound.arguments.items())[1:]) | {"seed": number}
        object.__setattr__(made, "name", function.__name__)
        object.__setattr__(made, "settings", settings)
        return made

    RECIPES[function.__name__] = captured
    return captured


def named(name: str) -> Callable[..., Recipe]:
    """The recipe of that name.

    Raises:
        SettingError: if there is none.
    """
    if name not in RECIPES:
        raise SettingError(f"got the recipe {name!r}; expected one of {', '.join(sorted(RECIPES))}")
    return RECIPES[name]


def default_likelihood(spec: DataSpec, chosen: type[Likelihood] | None = None) -> type[Likelihood]:
    """The likelihood class for data of this kind, unless one is chosen.

    binary → Bernoulli, levels → DiscretizedLogistic, real → Gaussian with one learned variance, count → Poisson.
    """
    cls = chosen or getattr(likelihoods, DEFAULTS[spec.kind])
    if not (isinstance(cls, type) and issubclass(cls, Likelihood)):
        raise IncompatibleError(f"got {cls!r} as likelihood; expected a class, one of {', '.join(likelihoods.__all__)}")
    cls.check(spec)
    return cls


def settings_of(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """The settings of a recipe: name → (type hint, default)."""
    inner = inspect.unwrap(function)
    hints = typing.get_type_hints(inner)
    parameters = list(inspect.signature(inner).parameters.items())[1:]
    return {name: (hints[name], p.default) for name, p in parameters} | {"seed": (int, 0)}


def check_settings(function: Callable[..., Any], given: dict[str, Any]) -> None:
    """Refuse settings that a recipe does not have, or of the wrong type.

    Raises:
        SettingError: listing the valid settings with their defaults.
    """
    known, name = settings_of(function), function.__name__
    valid = ", ".join(f"{k}={shown(default)}" for k, (_, default) in known.items())
    for key, value in given.items():
        if key not in known:
            raise SettingError(f"got the setting {key!r} for the recipe {name}; expected one of {valid}")
        if not (_fits(value, known[key][0]) or (key == "seed" and value == 0)):
            raise SettingError(
                f"got {key}={shown(value)} for the recipe {name}; expected {_wanted(known[key][0])}: its settings "
                f"are {valid}"
            )


def shown(value: Any) -> str:
    """A setting as a user would type it."""
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, tuple | list):
        return ",".join(map(str, value)) or "()"
    return str(value)


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, h) for h in arguments)
    if origin is type:
        return isinstance(value, type) and issubclass(value, arguments[0])
    if origin is not None:  # a sequence
        return isinstance(value, list | tuple) and all(_fits(v, arguments[0]) for v in value)
    if hint is int:  # every whole number here counts something
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint) if hint is not None else value is None


def _wanted(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_wanted(h) for h in arguments)
    if origin is type:
        choices = likelihoods.__all__ if arguments[0] is Likelihood else ACTIVATIONS
        return f"the name of one of {', '.join(choices)}"
    if origin is not None:
        return "whole numbers such as 200,200"
    plain = {int: "a whole number ≥ 1", float: "a number", bool: "true or false", type(None): "none"}
    return plain.get(hint, f"a {hint.__name__}")
