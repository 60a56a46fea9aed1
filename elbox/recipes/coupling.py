"""Variational autoencoders whose posterior is a flow, of coupling steps."""

from __future__ import annotations

__all__ = ["nice_vae", "realnvp_vae", "glow_vae", "spline_vae"]

from collections.abc import Sequence

from torch import nn

from elbox.flows import Affine, Coupling, Linear, Shift, Spline
from elbox.likelihoods.base import Likelihood
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.flow import CONTEXT, with_flow
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def nice_vae(
    data: DataSpec,
    latent: int = 40,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 10,
    conditioner: Sequence[int] = (64,),
    warmup: float = 0.1,
) -> Recipe:
    r"""NICE posterior (Dinh et al., 2015, §3): half of z is shifted by a function of the other half and x.

    Volume is preserved. As a posterior it is compared with planar flows in Rezende & Mohamed (2015); sizes as of
    `planar_vae`.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number T of steps.
        conditioner: Widths of the hidden layers of each step's network.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.nice_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    transforms = [Coupling(latent, CONTEXT, Shift(), conditioner, flipped=bool(t % 2)) for t in range(steps)]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)


@recipe
def realnvp_vae(
    data: DataSpec,
    latent: int = 32,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 5,
    conditioner: Sequence[int] = (
        128,
        128,
    ),
    warmup: float = 0.1,
) -> Recipe:
    r"""RealNVP posterior (Dinh et al., 2017, §3.2): half of z is scaled and shifted by functions of the other half.

    Sizes as of `spline_vae`, which it is compared with there (affine coupling).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number T of steps.
        conditioner: Widths of the hidden layers of each step's network.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.realnvp_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    transforms = [Coupling(latent, CONTEXT, Affine(), conditioner, flipped=bool(t % 2)) for t in range(steps)]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)


@recipe
def glow_vae(
    data: DataSpec,
    latent: int = 32,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 5,
    conditioner: Sequence[int] = (
        128,
        128,
    ),
    warmup: float = 0.1,
) -> Recipe:
    r"""Glow-like posterior (Kingma & Dhariwal, 2018): a linear map L U and an affine coupling by turns, given x.

    In a VAE in Su & Wu (2018), *f-VAEs: improve VAEs with conditional flows*.

    Without images there are no channels: what is a 1×1 convolution there mixes all latent dimensions. Sizes as of
    `spline_vae`.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number T of steps.
        conditioner: Widths of the hidden layers of each step's network.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.glow_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    pairs = [(Linear(latent, CONTEXT), Coupling(latent, CONTEXT, Affine(), conditioner)) for _ in range(steps)]
    transforms = [f for pair in pairs for f in pair]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)


@recipe
def spline_vae(
    data: DataSpec,
    latent: int = 32,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 5,
    conditioner: Sequence[int] = (
        128,
        128,
    ),
    warmup: float = 0.1,
) -> Recipe:
    r"""Neural spline flow posterior (Durkan et al., 2019, §3): half of z goes through rational-quadratic splines.

    Their knots are functions of the other half and x.

    As their VAE experiments come: 32 latent variables, 64 features of context, 5 steps of width 128, 8 bins; there a
    linear map goes before each step (see `glow_vae`).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number T of steps.
        conditioner: Widths of the hidden layers of each step's network.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.spline_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    transforms = [Coupling(latent, CONTEXT, Spline(), conditioner, flipped=bool(t % 2)) for t in range(steps)]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)
