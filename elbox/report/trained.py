"""What was trained: the facts that someone needs to trust the numbers, and the command that makes them again."""

from __future__ import annotations

__all__ = ["brief", "reproduce", "title", "what_was_trained"]

import inspect
import shlex
from dataclasses import fields
from typing import Any

from elbox.data.load import SPLIT
from elbox.recipes.base import RECIPES, settings_of, shown
from elbox.report.markup import Html, fragment, section, table, tag
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
    "device": "--devices",
}
UNITS = ("offset", "scale")  # taken from the data; long, and told elsewhere


def title(subject: Subject) -> str:
    """Name of the recipe and of the data."""
    return f"{subject.run.recipe.name or type(subject.model).__name__} on {subject.run.info['data'].get('name', 'an array')}"


def what_was_trained(subject: Subject) -> Html:
    """The section."""
    return section(
        "What was trained",
        table([*_model_rows(subject), *_data_rows(subject), *_training_rows(subject)], class_="facts"),
        _reproduction(subject),
        _everything(subject),
    )


def brief(value: Any) -> str:
    """A part with the arguments that differ from their defaults, on one line.

    Example:
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> brief(DiagonalNormal(MLP((1, 8, 8), [400], (2, 10)), 10))
        'DiagonalNormal(net=MLP(inputs=1×8×8, hidden=400, outputs=2×10), latent=10)'
    """
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, bool | int | str) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        plain = all(isinstance(v, int) for v in value) and len(value) <= 8
        return "×".join(map(str, value)) if plain else f"{len(value)} values"
    arguments = getattr(value, "arguments", {})
    defaults = {k: p.default for k, p in inspect.signature(type(value)).parameters.items()} if arguments else {}
    told = [f"{k}={brief(v)}" for k, v in arguments.items() if k not in UNITS and not _same(v, defaults.get(k))]
    return f"{type(value).__name__}({', '.join(told)})"


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _model_rows(subject: Subject) -> list[tuple[str, str]]:
    recipe = subject.run.recipe
    rows: list[tuple[str, str]] = []
    if recipe.name:
        first = (inspect.getdoc(RECIPES[recipe.name]) or "").split("\n\n")[0].replace("\n", " ")
        rows.append(("Recipe", fragment(tag("b", recipe.name), tag("span", first))))
        rows.append(("Settings", ", ".join(f"{k} = {_typed(v)}" for k, v in recipe.settings.items())))
    model = recipe.model
    parts = [f"{type(p).__name__} {axis}" for axis, p in (("prior", model.prior), ("likelihood", model.likelihood)) if p is not None]
    trained = f"{type(recipe.objective).__name__} with {type(recipe.estimator).__name__} gradients"
    both = " × ".join([*parts, f"{type(model.posterior).__name__} posterior"])
    return [*rows, ("Parts", fragment(tag("span", both), tag("span", trained)))]


def _data_rows(subject: Subject) -> list[tuple[str, str]]:
    data, spec = subject.data, subject.spec
    name, _, rest = data.describe().partition(": ")
    sizes, _, what = rest.partition(", ")
    classes = f", {spec.classes} classes" if spec.classes else ""
    rows = [("Data", f"{name}: {what}{classes}"), ("Split", sizes.replace(" / ", ", ")), ("Protocol", subject.run.protocol)]
    return rows


def _training_rows(subject: Subject) -> list[tuple[str, str]]:
    info, training = subject.run.info, subject.run.info["training"]
    epochs = max((row["epoch"] for row in subject.run.metrics), default=0)
    steps = f" ({info['steps']} steps)" if "steps" in info else ""
    spent = f", in {duration(info['seconds'])}" if "seconds" in info else ""
    how = f"{training['optimizer']}, learning rate {training['lr']:g} ({training['schedule']}), batches of {training['batch_size']}"
    rows = [("Training", fragment(tag("span", f"{epochs} epochs{steps}{spent}: {info['status']}"), tag("span", how)))]
    best = best_epoch(subject)
    if best is not None:
        bound = "distortion" if subject.autoencoder else "held-out bound"
        rows.append(("Weights", f"those of epoch {best}, which had the best {bound} on the validation split"))
    choice = info.get("choice", {})
    compiled = "compiled" if choice.get("compile") else "not compiled"
    if choice:
        rows.append(("Device", f"{choice['device']}, precision {choice['precision']}, {compiled}"))
    rows.append(("Seed", f"{info.get('seed', training['seed'])}, of weights, batches and every random draw"))
    return rows


def best_epoch(subject: Subject) -> int | None:
    """The epoch whose weights were kept."""
    return next((row["epoch"] for row in reversed(subject.run.metrics) if row.get("best")), None)


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    Example:
        >>> duration(7.31), duration(75), duration(7500)
        ('7.3 s', '1 min 15 s', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds) // 60
    return f"{minutes} min {round(seconds) % 60} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _everything(subject: Subject) -> Html:
    """What few will ask for, folded away."""
    recipe, info = subject.run.recipe, subject.run.info
    model = recipe.model
    parts = {"Prior": model.prior, "Likelihood": model.likelihood, "Posterior": model.posterior}
    parts |= {"Objective": recipe.objective, "Estimator": recipe.estimator}
    rows: list[tuple[str, str]] = [(k, "none: an autoencoder" if v is None else tag("code", brief(v))) for k, v in parts.items()]
    rows.append(("Parameters", f"{sum(p.numel() for p in model.parameters()):,}".replace(",", " ")))
    rows.append(("Training settings", ", ".join(f"{k} = {_typed(v)}" for k, v in info["training"].items())))
    reasons = [*info.get("choice", {}).get("reasons", []), *info.get("notes", [])]
    rows.append(("Reasons", fragment(*(tag("span", r) for r in reasons))))
    rows.append(("Versions", ", ".join(f"{k} {v}" for k, v in info.get("versions", {}).items())))
    rows.append(("Machine", str(info.get("machine", "unknown"))))
    rows.append(("Fingerprint", str(info["data"].get("fingerprint", "none"))))
    return tag("details", tag("summary", "All parts, settings, reasons and versions"), table(rows, class_="facts"))


# ── to make it again ─────────────────────────────────────────────────────────────────────────────────────────────────


def _reproduction(subject: Subject) -> Html:
    command, sentence = reproduce(subject)
    return fragment(tag("h3", "To make it again"), _written(command), tag("p", sentence, class_="note"))


def _written(command: str) -> Html:
    """A command breaks between its words only; a program does not break at all."""
    if "\n" in command:
        return tag("pre", tag("code", command))
    words = [piece for word in shlex.split(command) for piece in (tag("span", shlex.quote(word)), " ")]
    return tag("pre", tag("code", *words[:-1]), class_="command")


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
            words += [OPTIONS[field.name], _typed(value)]
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
        words += ["--set", f"{name}={_typed(value)}"]
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
    plain = Training().to_json()
    settings = ", ".join(f"{k}={v!r}" for k, v in training.to_json().items() if v != plain[k])
    lines.append(f"run = elbox.fit(recipe, data, elbox.Training({settings}))")
    return "\n".join(lines)


def _typed(value: Any) -> str:
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
