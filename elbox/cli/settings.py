"""`--set name=value`: text to settings of a recipe and of training."""

from __future__ import annotations

__all__ = ["parse", "split"]

import ast
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from elbox import likelihoods, schedules
from elbox.errors import SettingError
from elbox.parts import ACTIVATIONS
from elbox.recipes.base import check_settings, settings_of, shown
from elbox.spec import KINDS
from elbox.train import Training

NAMES = ACTIVATIONS | {name: getattr(likelihoods, name) for name in likelihoods.__all__}
CALLS = {
    name: getattr(schedules, name) for name in ("Constant", "Linear", "Exponential", "Sigmoid", "Cyclical", "Capacity")
}
WORDS = {"none": None, "true": True, "false": False}
TRAINING = ("schedule", "clip", "ema", "eps", "evaluations", "checkpoint_seconds")  # the rest of Training has options
DATA: dict[str, tuple[Any, str]] = {  # how a file of the user's is read
    "kind": (str, f"one of {', '.join(KINDS)}"),
    "levels": (int, "a whole number from 2 to 65536"),
    "size": (int | tuple, "a height and a width such as 32,32, or one number for both"),
    "stream": (bool, "true or false"),
}


def split(
    assignments: Iterable[str], recipe: Callable[..., Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Settings of the recipe, of training and of data from texts `name=value`.

    Raises:
        SettingError: if a setting is unknown or ill-typed; the message lists the valid ones with their defaults.

    Example:
        >>> from elbox.recipes import vae
        >>> split(["latent=2", "hidden=200,200", "schedule=cosine"], vae)
        ({'latent': 2, 'hidden': (200, 200)}, {'schedule': 'cosine'}, {})
    """
    of_recipe: dict[str, Any] = {}
    of_training: dict[str, Any] = {}
    of_data: dict[str, Any] = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals:
            raise SettingError(f"got --set {text}; expected name=value, such as --set latent=20")
        if name in TRAINING:
            of_training[name] = parse(value) if name != "schedule" else value.strip()
        elif name in DATA:
            of_data[name], (kind, wanted) = parse(value), DATA[name]
            if not isinstance(of_data[name], kind | None):
                raise SettingError(f"got --set {text}; expected {wanted}, or leave {name} out")
        elif name in settings_of(recipe) and name != "seed":
            of_recipe[name] = _sequence(parse(value), settings_of(recipe)[name][1])
        else:
            raise SettingError(f"got --set {text}; expected one of {valid(recipe)}")
    check_settings(recipe, of_recipe)
    return of_recipe, of_training, of_data


def valid(recipe: Callable[..., Any]) -> str:
    """All settings with their defaults, in one line."""
    training = {f.name: f.default for f in fields(Training)}
    listed = {k: shown(d) for k, (_, d) in settings_of(recipe).items() if k != "seed"}
    listed |= {k: shown(training[k]) for k in TRAINING} | dict.fromkeys(DATA, "as found")
    return ", ".join(f"{k}={d}" for k, d in listed.items())


def parse(text: str) -> Any:
    """A number, several numbers, the name of an activation or a likelihood, or a schedule; anything else stays text.

    Example:
        >>> parse("4"), parse("200,200"), parse("none"), parse("Tanh").__name__
        (4, (200, 200), None, 'Tanh')
        >>> parse("Linear(0, 1, over=0.5)").over
        0.5
    """
    text = text.strip()
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if text in NAMES:
        return NAMES[text]
    try:
        tree = ast.parse(text, mode="eval").body
        if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in CALLS:
            arguments = [ast.literal_eval(a) for a in tree.args]
            keywords = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
            return CALLS[tree.func.id](*arguments, **keywords)
        return ast.literal_eval(tree)
    except (SyntaxError, TypeError, ValueError) as error:
        if isinstance(error, SettingError):
            raise
        return text


def _sequence(value: Any, default: Any) -> Any:
    """One number where several are meant is a sequence of one."""
    return (value,) if isinstance(default, tuple) and isinstance(value, int) else value
