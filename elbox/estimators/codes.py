"""What the estimators for discrete codes share."""

from __future__ import annotations

__all__ = ["Encoded"]

from typing import Any

from torch import nn

from elbox.distributions import Code
from elbox.draws import same_context
from elbox.errors import IncompatibleError


class Encoded:
    """The distribution q(z|x) over codes, encoded once for one and the same context.

    Arguments:
        estimator: Name of the estimator that asks, for its error.
    """

    def __init__(self, estimator: str) -> None:
        self.estimator = estimator
        self.known: tuple[Any, Any] | None = None

    def __call__(self, posterior: nn.Module, context: Any) -> Any:
        if self.known is None or not same_context(self.known[0], context):
            self.known = (context, posterior(context))
        q = self.known[1]
        if not isinstance(q, Code):
            raise IncompatibleError(
                f"{self.estimator}() needs a posterior over discrete codes, got {type(posterior).__name__} "
                f"({type(q).__name__}); use BernoulliCode or CategoricalCode, or Reparameterized()"
            )
        return q
