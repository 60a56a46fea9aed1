"""What was trained: the facts that someone needs to trust the numbers."""

from __future__ import annotations

__all__ = ["best_epoch", "brief", "title", "what_was_trained"]

import inspect
from typing import Any

from elbox.recipes.base import RECIPES
from elbox.report.markup import Html, fragment, section, table, tag
from elbox.report.reproduce import reproduction, typed
from elbox.report.subject import Subject
from elbox.second_stage import described

UNITS = ("offset", "scale")  # taken from the data; long, and told elsewhere


def title(subject: Subject) -> str:
    """Name of the recipe and of the data."""
    return f"{subject.run.recipe.name or type(subject.model).__name__} on {data_name(subject)}"


def data_name(subject: Subject) -> str:
    """Name of the data."""
    return str(subject.run.info["data"].get("name", "array"))


def summary(subject: Subject) -> str:
    """Sizes of the splits, shape and kind of the data."""
    return subject.data.describe().removeprefix(f"{data_name(subject)}: ")


def what_was_trained(subject: Subject) -> Html:
    """The section."""
    return section(
        "What was trained",
        table([*_model_rows(subject), *_data_rows(subject), *_training_rows(subject)], class_="facts"),
        reproduction(subject),
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
        if value and all(hasattr(v, "arguments") for v in value):
            return ", ".join(brief(v) for v in value)
        plain = all(isinstance(v, int) for v in value) and len(value) <= 8
        return "×".join(map(str, value)) if plain else f"{len(value)} values"
    arguments = getattr(value, "arguments", {})
    defaults = {k: p.default for k, p in inspect.signature(type(value)).parameters.items()} if arguments else {}
    told = [f"{k}={brief(v)}" for k, v in arguments.items() if k not in UNITS and not _same(v, defaults.get(k))]
    return f"{type(value).__name__}({', '.join(told)})"


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{k} = {'default' if v is None else typed(v)}" for k, v in settings.items())


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _model_rows(subject: Subject) -> list[tuple[str, str]]:
    recipe = subject.run.recipe
    rows: list[tuple[str, str]] = []
    if recipe.name:
        first = (inspect.getdoc(RECIPES[recipe.name]) or "").split("\n\n")[0].replace("\n", " ")
        rows.append(("Recipe", fragment(tag("b", recipe.name), tag("span", first))))
        rows.append(("Settings", _listed(recipe.settings)))
    axes = {name: getattr(recipe.model, name) for name in ("prior", "likelihood", "posterior")}
    parts = " × ".join(f"{type(part).__name__} {name}" for name, part in axes.items() if part is not None)
    trained = f"{brief(recipe.objective)} with {type(recipe.estimator).__name__} gradients"
    return [*rows, ("Parts", fragment(tag("span", parts), tag("span", trained)))]


def _data_rows(subject: Subject) -> list[tuple[str, str]]:
    sizes, _, what = summary(subject).partition(", ")
    classes = f", {subject.spec.classes} classes" if subject.spec.classes else ""
    return [
        ("Data", f"{data_name(subject)}: {what}{classes}"),
        ("Split", sizes.replace(" / ", ", ")),
        ("Protocol", subject.run.protocol),
    ]


def _training_rows(subject: Subject) -> list[tuple[str, str]]:
    info, training = subject.run.info, subject.run.info["training"]
    epochs = max((row["epoch"] for row in subject.run.metrics), default=0)
    steps = f" ({info['steps']} steps)" if "steps" in info else ""
    spent = f", in {duration(info['seconds'])}" if "seconds" in info else ""
    rate = f"learning rate {training['lr']:g} ({training['schedule']})"
    how = f"{training['optimizer']}, {rate}, batches of {training['batch_size']}"
    rows: list[tuple[str, str]] = [
        ("Training", fragment(tag("span", f"{epochs} epochs{steps}{spent}: {info['status']}"), tag("span", how)))
    ]
    best = best_epoch(subject)
    if best is not None:
        bound = "distortion" if subject.autoencoder else "held-out bound"
        rows.append(("Weights", f"those of epoch {best}, which had the best {bound} on the validation split"))
    choice = info.get("choice", {})
    compiled = "compiled" if choice.get("compile") else "not compiled"
    if choice:
        rows.append(("Device", f"{choice['device']}, precision {choice['precision']}, {compiled}"))
    rows.append(("Seed", _seeds(subject)))
    return rows


def _seeds(subject: Subject) -> str:
    seed = subject.run.info["training"]["seed"]
    weights = subject.run.recipe.settings.get("seed", seed)
    return (
        f"{seed} for everything random" if weights == seed else f"{seed} for batches and draws, {weights} for weights"
    )


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
    parts: dict[str, Any] = {"Prior": model.prior, "Likelihood": model.likelihood, "Posterior": model.posterior}
    parts |= {"Objective": recipe.objective, "Estimator": recipe.estimator}
    rows: list[tuple[str, str]] = [
        (k, "none: an autoencoder" if v is None else tag("code", brief(v))) for k, v in parts.items()
    ]
    rows.append(("Parameters", f"{sum(p.numel() for p in model.parameters()):,}".replace(",", " ")))
    rows.append(("Training settings", _listed(info["training"])))
    if "second_stage" in info:
        rows.append(("Second stage", described(info["second_stage"]).removeprefix("second stage: ")))
    reasons = [*info.get("choice", {}).get("reasons", []), *info.get("notes", [])]
    rows.append(("Reasons", fragment(*(tag("span", r) for r in reasons))))
    rows.append(("Versions", ", ".join(f"{k} {v}" for k, v in info.get("versions", {}).items())))
    rows.append(("Machine", str(info.get("machine", "unknown"))))
    rows.append(("Fingerprint", str(info["data"].get("fingerprint", "none"))))
    return tag("details", tag("summary", "All parts, settings, reasons and versions"), table(rows, class_="facts"))
