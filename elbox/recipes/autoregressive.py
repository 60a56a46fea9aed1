"""Variational autoencoders whose posterior is a flow, autoregressive or continuous."""

from __future__ import annotations

__all__ = ["iaf_vae", "maf_vae", "ffjord_vae"]

from collections.abc import Sequence

from torch import nn

from elbox.flows import Affine, Autoregressive, Continuous, Gate, Inverse
from elbox.likelihoods.base import Likelihood
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.flow import CONTEXT, with_flow
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def iaf_vae(
    data: DataSpec,
    latent: int = 32,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 2,
    conditioner: Sequence[int] = (320,),
    warmup: float = 0.1,
) -> Recipe:
    r"""Inverse autoregressive flow posterior (Kingma et al., 2016, algorithm 1): z' = σ ⊙ z + (1 − σ) ⊙ m.

    m_d and σ_d are functions of z_{<d} and x.

    The smallest of their MNIST models: 32 latent variables, 2 steps of width 320, ELU; steps take the dimensions in
    alternating order. Their encoder and decoder are residual convolutional networks.

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
        >>> model = elbox.recipes.iaf_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    transforms = [Autoregressive(latent, CONTEXT, Gate(), conditioner, flipped=bool(t % 2)) for t in range(steps)]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)


@recipe
def maf_vae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 5,
    conditioner: Sequence[int] = (100,),
    warmup: float = 0.1,
) -> Recipe:
    r"""Masked autoregressive flow posterior (Papamakarios et al., 2017, §3): IAF backwards, z_d = e^{a_d} z'_d + b_d.

    a_d and b_d are functions of z'_{<d} and x.

    A sample takes D passes for each step, the density of given codes one: for comparison with `iaf_vae`, its better
    half where samples are wanted. Their density estimators have 5 steps of width 100.

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
        >>> model = elbox.recipes.maf_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    forward = [Autoregressive(latent, CONTEXT, Affine(), conditioner, flipped=bool(t % 2)) for t in range(steps)]
    transforms = [Inverse(step) for step in forward]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)


@recipe
def ffjord_vae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 1,
    conditioner: Sequence[int] = (
        64,
        64,
    ),
    warmup: float = 0.1,
) -> Recipe:
    r"""Continuous flow posterior (Grathwohl et al., 2019, *FFJORD*, §3): ż = net(z, t, x) from t = 0 to 1.

    Hutchinson's estimate of the trace in training, the exact trace in evaluation. On MNIST they have 64 latent
    variables and 2 steps of 1024-1024 tanh units, whose weights x changes by a matrix of rank 64; here features of x
    are an input, and the sizes are such that it can be tried on a CPU.

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
        >>> model = elbox.recipes.ffjord_vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> model.encode(torch.ones(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """
    transforms = [Continuous(latent, CONTEXT, conditioner, nn.Tanh, exact=False) for _ in range(steps)]
    return with_flow(vae(data, latent, hidden, activation, likelihood, warmup), transforms)
