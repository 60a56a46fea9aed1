"""Importance-weighted autoencoders."""

from __future__ import annotations

__all__ = ["iwae"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.estimators import Path
from elbox.likelihoods.base import Likelihood
from elbox.objectives import IWAE
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def iwae(
    data: DataSpec,
    latent: int = 50,
    samples: int = 50,
    hidden: Sequence[int] = (200, 200),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""IWAE (Burda et al., 2016, eq. 8) with the networks of its table 1, and the DReG gradient (Tucker et al., 2019).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        samples: Number K of importance samples.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.iwae(elbox.DataSpec((784,), "binary"), samples=5).objective.samples
        5
    """
    return replace(vae(data, latent, hidden, activation, likelihood), objective=IWAE(samples), estimator=Path())
