"""A VAE whose posterior is a flow, whatever its steps."""

from __future__ import annotations

__all__ = ["CONTEXT", "encoder_like", "with_flow"]

from collections.abc import Sequence
from typing import Any

from zuko.lazy import LazyTransform

from elbox.estimators import Reparameterized
from elbox.model import VAE
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal, Flow
from elbox.recipes.base import Recipe

CONTEXT = 64  # features of x that every step sees, as in the VAEs of Durkan et al. (2019)


def with_flow(base: Recipe, steps: Sequence[LazyTransform]) -> Recipe:
    """The recipe with these steps behind its encoder, and with the plain gradient, which never inverts a step.

    Arguments:
        base: A recipe whose posterior is a `DiagonalNormal` with an `MLP`.
        steps: Steps of as many features as z has, and of `CONTEXT` features of context.
    """
    model, posterior = base.model, base.model.posterior
    assert isinstance(posterior, DiagonalNormal)
    encoder = encoder_like(base, Flow.output_shape(posterior.latent, CONTEXT))
    flow = Flow(encoder, posterior.latent, steps, CONTEXT)
    return Recipe(VAE(model.prior, model.likelihood, flow), base.objective, Reparameterized())


def encoder_like(base: Recipe, outputs: Sequence[int]) -> MLP:
    """A new network as that of the recipe's posterior, with other outputs."""
    net: Any = base.model.posterior.net
    return MLP(**net.arguments | {"outputs": outputs})
