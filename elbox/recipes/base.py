"""What a recipe is: a model, an objective and an estimator, and the call that made them."""

from __future__ import annotations

__all__ = ["RECIPES", "Recipe", "recipe", "default_likelihood"]

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from elbox import likelihoods
from elbox.errors import IncompatibleError, SettingError
from elbox.estimators import Estimator
from elbox.likelihoods.base import DEFAULTS, Likelihood
from elbox.model import VAE
from elbox.objectives import Objective
from elbox.parts import from_tree, to_tree
from elbox.spec import DataSpec

RECIPES: dict[str, Callable[..., Recipe]] = {}


@dataclass(frozen=True)
class Recipe:
    """All that training needs to know of a model.

    Arguments:
        model: The joint model.
        objective: What training maximises.
        estimator: How its gradient is estimated.

    `name` and `settings` are those of the recipe function that made it; `dataclasses.replace(recipe, estimator=...)` changes a part
    and drops them, and the recipe is then saved part by part.

    Example:
        >>> import elbox
        >>> r = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> r.name, r.settings["latent"]
        ('vae', 2)
    """

    model: VAE
    objective: Objective
    estimator: Estimator
    name: str = field(default="", init=False)
    settings: dict[str, Any] = field(default_factory=dict, init=False)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain values from which `from_json` makes the same recipe (without trained weights)."""
        if self.name:
            return {"recipe": self.name, "settings": {k: to_tree(v) for k, v in self.settings.items()}}
        return {"parts": to_tree([self.model, self.objective, self.estimator])}

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
            return Recipe(*from_tree(d["parts"], allow))
        return named(d["recipe"])(spec, **from_tree({"dict": d["settings"]}, allow))


def recipe(function: Callable[..., Recipe]) -> Callable[..., Recipe]:
    """Decorator: enters a recipe in `RECIPES`, captures its settings, and seeds it before any parameter is made.

    The decorated function takes one more setting, `seed`: the same seed gives the same initial weights, whatever was drawn before.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def captured(spec: DataSpec, *args: Any, seed: int = 0, **kwargs: Any) -> Recipe:
        _known_settings(function.__name__, signature, kwargs)
        bound = signature.bind(spec, *args, **kwargs)
        bound.apply_defaults()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = function(*bound.args, **bound.kwargs)
        settings = dict(list(bound.arguments.items())[1:]) | {"seed": seed}
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


def _known_settings(name: str, signature: inspect.Signature, given: dict[str, Any]) -> None:
    known = {k: p.default for k, p in list(signature.parameters.items())[1:]} | {"seed": 0}
    for key in given:
        if key not in known:
            valid = ", ".join(f"{k}={v.__name__ if isinstance(v, type) else v!r}" for k, v in known.items())
            raise SettingError(f"got the setting {key!r} for the recipe {name}; expected one of {valid}")
