"""Variational autoencoders whose posterior is a flow, of planar, radial or Sylvester steps."""

from __future__ import annotations

__all__ = ["planar_vae", "radial_vae", "sylvester_vae"]

from collections.abc import Sequence

from torch import nn

from elbox.flows import Orthogonal, Planar, Radial, Sylvester
from elbox.likelihoods.base import Likelihood
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.flow import CONTEXT, with_flow
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def planar_vae(
    data: DataSpec,
    latent: int = 40,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 10,
    warmup: float = 0.1,
) -> Recipe:
    r"""Planar flow posterior (Rezende & Mohamed, 2015, §4.1): z' = z + û tanh(wᵀz + b), with û, w, b functions of x.

    Their MNIST model: 40 latent variables, 400 hidden units (maxout), 10 to 80 steps.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number T of steps.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.planar_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    transforms = [Planar(latent, CONTEXT) for _ in range(steps)]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)


@recipe
def radial_vae(
    data: DataSpec,
    latent: int = 40,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 10,
    warmup: float = 0.1,
) -> Recipe:
    r"""Radial flow posterior (Rezende & Mohamed, 2015, §4.1): z' = z + β̂ (z − c)/(α + ‖z − c‖).

    c, α and β̂ are functions of x; sizes as of `planar_vae`.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number T of steps.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.radial_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    transforms = [Radial(latent, CONTEXT) for _ in range(steps)]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)


@recipe
def sylvester_vae(
    data: DataSpec,
    latent: int = 64,
    hidden: Sequence[int] = (
        300,
        300,
    ),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 4,
    columns: int = 8,
    warmup: float = 0.1,
) -> Recipe:
    r"""Orthogonal Sylvester flow posterior (van den Berg et al., 2018, §4.1): z' = z + Q R tanh(R̃ Qᵀz + b), all from x.

    As their code comes: 64 latent variables, 4 steps of 8 columns, a warm-up; their best is 16 steps of 32. Their
    networks are convolutional, 256 features wide where the parameters of the flow are made.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number T of steps.
        columns: Number M of columns of Q, at most as many as there are latent dimensions.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.sylvester_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    basis = Orthogonal(min(columns, latent))
    transforms = [Sylvester(latent, CONTEXT, basis) for _ in range(steps)]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)
