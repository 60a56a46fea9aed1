"""Draws of the prior beside a batch of codes, for penalties that compare samples of q(z) and p(z)."""

from __future__ import annotations

__all__ = ["prior_draws"]

from torch import Tensor

from elbox.errors import IncompatibleError
from elbox.objectives.penalties.aggregated import needs_pairs
from elbox.terms import Group


def prior_draws(name: str, group: Group) -> Tensor:
    """As many draws of p(z) as there are codes, [K, B, D], reparameterised where the prior can be.

    Arguments:
        name: Of the penalty, for messages.
        group: The group of latent variables; its prior may depend on a condition.

    Raises:
        IncompatibleError: if there is no prior.
        ShapeError: for a batch of one example.
    """
    needs_pairs(name, group)
    if group.prior is None:
        raise IncompatibleError(
            f"{name} compares codes with draws of the prior, and the model has no prior; use a StandardNormal prior, "
            "or Distortion() alone"
        )
    return group.prior_draws()
