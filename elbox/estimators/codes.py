"""What the estimators for discrete codes share."""

from __future__ import annotations

__all__ = ["Encoded", "for_codes"]

from typing import Any

from torch import nn

from elbox.distributions import Code, Quantized
from elbox.draws import same_context
from elbox.errors import IncompatibleError
from elbox.objectives import Objective


class Encoded:
    """The distribution q(z|x) over codes, encoded once for one and the same context.

    Arguments:
        estimator: Name of the estimator that asks, for its error.
        kinds: Classes of distributions that will do.
    """

    def __init__(self, estimator: str, kinds: tuple[type, ...] = (Code,)) -> None:
        self.estimator, self.kinds = estimator, kinds
        self.known: tuple[Any, Any] | None = None

    def __call__(self, posterior: nn.Module, context: Any) -> Any:
        if self.known is None or not same_context(self.known[0], context):
            self.known = (context, posterior(context))
        q = self.known[1]
        if not isinstance(q, self.kinds):
            wanted, way_out = "discrete codes", "Reparameterized()" if q.has_rsample else "Score()"
            way_out += ", or a BernoulliCode posterior with a BernoulliPrior"
            if isinstance(q, Quantized):
                wanted, way_out = "discrete codes that are drawn", "StraightThrough()"
            raise IncompatibleError(
                f"{self.estimator}() needs a posterior over {wanted}, got {type(posterior).__name__} "
                f"({type(q).__name__}); use {way_out}"
            )
        return q


def for_codes(objective: Objective) -> str:
    """What to use with an objective and any discrete codes, for messages."""
    return "Score() with samples=2 or more" if objective.separable else "StraightThrough()"
