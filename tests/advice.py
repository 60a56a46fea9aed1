"""What a refusal advises, parsed, so that it can be followed: the names behind "; use " take the place of parts.

Alternatives are parted by ", or ". Each names an estimator, an objective, a number of samples, or the classes of a
posterior, a prior or a likelihood; what it does not name stays as it is. One "for discrete codes" is for these, and the
others beside it are not.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from elbox import estimators, objectives
from elbox.baselines import MovingAverage
from elbox.estimators import Estimator
from elbox.objectives import Objective, Penalized, Penalty
from tests.components import COMPONENTS

NAMED = re.compile(r"(?<![\w.(])([A-Z]\w*)(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?")  # A, A(...), A(B(...), C(...))
KNOWN = {**vars(estimators), **vars(objectives), "MovingAverage": MovingAverage, "N": 50}
CODES = " for discrete codes"


class Advice(NamedTuple):
    """Parts to be put in the place of others; None for those that stay. Those of the model by their name in the table
    of components.
    """

    objective: Objective | None = None
    estimator: Estimator | None = None
    prior: str | None = None
    posterior: str | None = None
    likelihood: str | None = None


def advised(message: str, objective: Objective, *, codes: bool) -> list[Advice]:
    """The alternatives that a refusal names, for a model with or without discrete codes."""
    texts = re.split(r", (?:or|which) ", re.split(r"; use |\. Use ", message, maxsplit=1)[1])
    texts = [t for t in texts if CODES in t] if codes and CODES in message else [t for t in texts if CODES not in t]
    found = [_advice(text, objective) for text in texts]
    return [advice for advice in found if any(part is not None for part in advice)]


def _advice(text: str, refused: Objective) -> Advice:
    parts: dict[str, Any] = {}
    for name, call in NAMED.findall(text):
        if call and name in KNOWN:
            expression = name + call.replace(f"{type(refused).__name__}(...)", "refused")
            made = eval(expression, KNOWN | {"refused": refused})  # noqa: S307 (our own message)
            if isinstance(made, Penalty):
                made = Penalized(getattr(refused, "objective", refused), [made])
            parts["estimator" if isinstance(made, Estimator) else "objective"] = made
        for axis in ("prior", "posterior", "likelihood"):
            if not call and f"{axis}s.{name}" in COMPONENTS:
                parts[axis] = f"{axis}s.{name}"
    if "samples=2" in NAMED.sub("", text):
        parts["objective"] = of_two_samples(parts.get("objective", refused))
    return Advice(**parts)


def of_two_samples(objective: Objective) -> Objective:
    """The objective with two samples, if it has fewer."""
    if objective.samples > 1:
        return objective
    arguments: dict[str, Any] = dict(objective.arguments)  # type: ignore[attr-defined]
    arguments |= {name: of_two_samples(part) for name, part in arguments.items() if isinstance(part, Objective)}
    return type(objective)(**arguments | ({"samples": 2} if "samples" in arguments else {}))
