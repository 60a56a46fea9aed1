"""The command that makes a run again, or Python where no command can say it."""

from __future__ import annotations

__all__ = ["reproduce", "reproduction", "typed"]

import re
import shlex
from dataclasses import fields
from typing import Any

from elbox.data.load import SPLIT
from elbox.recipes.base import RECIPES, settings_of, shown
from elbox.report.markup import Html, fragment, tag
from elbox.report.subject import Subject
from elbox.train import Training

# Options of `elbox fit` by the name of the training setting; other settings are `--set name=value`.
OPTIONS = {
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "lr": "--lr",
    "optimizer": "--optimizer",
    "precision": "--precision",
    "patience": "--patience",
    "device": "--device",
    "devices": "--devices",
    "nodes": "--nodes",
    "strategy": "--strategy",
}


def reproduction(subject: Subject) -> Html:
    """The command or program, and what to know about it."""
    command, sentence = reproduce(subject)
    return fragment(tag("h3", "To make it again"), _written(command), tag("p", sentence, class_="note"))


def _written(command: str) -> Html:
    """A command breaks between its words only; a program does not break at all."""
    if "\n" in command:
        return tag("pre", tag("code", command))
    words = re.split(r" (?=--)", command)  # an option stays with its value
    return tag("pre", tag("code", *(piece for word in words for piece in (tag("span", word), " "))), class_="command")


def reproduce(subject: Subject) -> tuple[str, str]:
    """A command, or Python where no command can say it, and what to know about it."""
    run, source = subject.run, subject.run.info["data"]
    training = Training.from_json(run.info["training"])
    seeds = {training.seed, run.recipe.settings.get("seed", training.seed)}
    options = {k: v for k, v in source.get("options", {}).items() if v is not None}
    if run.recipe.name and source.get("from") != "array" and len(seeds) == 1 and not options.pop("seed", 0):
        same = "The same seed on the same kind of machine gives the same numbers"
        return _command(subject, training, options), f"{same}; the splits and the record of the run are in its folder."
    return _python(subject, training), "The same data and seeds on the same kind of machine give the same numbers."


def _command(subject: Subject, training: Training, options: dict[str, Any]) -> str:
    recipe = subject.run.recipe
    words = ["elbox", "fit", subject.run.info["data"]["name"], "--recipe", recipe.name]
    defaults = settings_of(RECIPES[recipe.name])
    changed = {k: v for k, v in recipe.settings.items() if k != "seed" and v != defaults[k][1]}
    plain = Training()
    for field in fields(Training):
        value = getattr(training, field.name)
        if value == getattr(plain, field.name) or field.name in ("seed", "compile"):
            continue
        if field.name in OPTIONS:
            words += [OPTIONS[field.name], typed(value)]
        else:
            changed[field.name] = value
    if training.compile is not None:
        words.append("--compile" if training.compile else "--no-compile")
    if training.seed:
        words += ["--seed", str(training.seed)]
    if "binarise" in options:
        words += ["--binarise", str(options["binarise"])]
    changed |= {k: v for k, v in options.items() if k != "binarise"}
    for name, value in changed.items():
        words += ["--set", f"{name}={typed(value)}"]
    return shlex.join(words)


def _python(subject: Subject, training: Training) -> str:
    recipe, source = subject.run.recipe, subject.run.info["data"]
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in source.get("options", {}).items() if v is not None}
    if tuple(options.get("split", ())) == SPLIT:
        del options["split"]
    named = "".join(f", {k}={v!r}" for k, v in options.items())
    lines = ["import elbox", ""]
    if source.get("from") == "array":
        labels = ", y" if subject.spec.classes else ""
        lines.append(f"# x is the array with fingerprint {source.get('fingerprint')}")
        lines.append(f"data = elbox.from_array(x{labels}{named})")
    else:
        lines.append(f"data = elbox.load({source['name']!r}{named})")
    if recipe.name:
        defaults = settings_of(RECIPES[recipe.name])
        changed = "".join(f", {k}={_code(v)}" for k, v in recipe.settings.items() if v != defaults[k][1])
        lines.append(f"recipe = elbox.recipes.{recipe.name}(data.spec{changed})")
    else:
        lines.append("recipe = ...  # made of parts: they are listed below and in run.json")
    lines.append(f"run = elbox.fit(recipe, data, {_settings(training.to_json())})")
    later = subject.run.info.get("second_stage", {})
    if "of" in later:  # another run's model, whose prior was replaced
        lines[-2] = "recipe = ...  # as below, but for its prior: that of the run whose prior was replaced"
        lines.append(f"run = run.fit_prior(prior, {_settings(later['training'])})  # the prior is listed below")
    return "\n".join(lines)


def _settings(training: dict[str, Any]) -> str:
    plain = Training().to_json()
    return f"elbox.Training({', '.join(f'{k}={v!r}' for k, v in training.items() if v != plain[k])})"


def typed(value: Any) -> str:
    """A setting as it is typed after `--set name=`."""
    if hasattr(value, "arguments") and not isinstance(value, type):
        return _code(value, package="")
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return shown(value)


def _code(value: Any, package: str = "elbox.schedules.") -> str:
    """A setting in Python."""
    if isinstance(value, type):
        package = "torch.nn" if value.__module__.startswith("torch") else "elbox.likelihoods"
        return f"{package}.{value.__name__}"
    if hasattr(value, "arguments"):
        return f"{package}{type(value).__name__}({', '.join(f'{k}={_code(v)}' for k, v in value.arguments.items())})"
    return repr(value)
