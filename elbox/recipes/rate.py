"""Variational autoencoders whose rate is held at a value or led by a schedule."""

from __future__ import annotations

__all__ = ["annealed_vae", "cyclical_vae", "free_bits_vae"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.likelihoods.base import Likelihood
from elbox.objectives import ELBO
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.schedules import Capacity, Cyclical
from elbox.spec import DataSpec


@recipe
def annealed_vae(
    data: DataSpec,
    latent: int = 10,
    capacity: float = 25.0,
    gamma: float = 1000.0,
    over: float = 0.5,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""The VAE with a capacity that grows (Burgess et al., 2018, eq. 8): −distortion − γ |rate − C(t)|.

    Their settings for dSprites: C from 0 to 25 nats with γ = 1000.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        capacity: Final capacity C, nats.
        gamma: Weight γ of the distance from the capacity.
        over: Fraction of the run after which the capacity is reached, in (0, 1].
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.annealed_vae(elbox.DataSpec((5,), "binary")).objective.capacity.nats
        25.0
    """
    base = vae(data, latent, hidden, activation, likelihood)
    return replace(base, objective=ELBO(beta=gamma, capacity=Capacity(capacity, over)))


@recipe
def cyclical_vae(
    data: DataSpec,
    latent: int = 20,
    cycles: int = 4,
    ramp: float = 0.5,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""The VAE whose rate's weight rises from 0 to 1 in M cycles (Fu et al., 2019, eq. 6 and 7).

    Their settings: M = 4 cycles, of which the first half rises.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        cycles: Number M of cycles.
        ramp: Part of a cycle that rises, in (0, 1].
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.cyclical_vae(elbox.DataSpec((5,), "binary")).objective.beta.cycles
        4
    """
    return replace(vae(data, latent, hidden, activation, likelihood), objective=ELBO(beta=Cyclical(cycles, ramp)))


@recipe
def free_bits_vae(
    data: DataSpec,
    latent: int = 20,
    free_bits: float = 0.25,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    *,
    per_dimension: bool = True,
) -> Recipe:
    r"""The VAE with free bits (Kingma et al., 2016, eq. 15): a rate below λ costs λ, so that units stay in use.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        free_bits: λ ≥ 0, nats.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        per_dimension: λ for each latent dimension, else for all of them together.

    Example:
        >>> import elbox
        >>> elbox.recipes.free_bits_vae(elbox.DataSpec((5,), "binary"), free_bits=0.5).objective.free_bits
        0.5
    """
    objective = ELBO(free_bits=free_bits, per_dimension=per_dimension and free_bits > 0)
    return replace(vae(data, latent, hidden, activation, likelihood), objective=objective)
