"""Autoencoders without a latent distribution, for comparison."""

from __future__ import annotations

__all__ = ["ae", "dae"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import Reparameterized
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP
from elbox.objectives import Distortion
from elbox.posteriors import Corrupted, Deterministic
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.spec import DataSpec


@recipe
def ae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""The autoencoder (Hinton & Salakhutdinov, 2006): a code z = f(x) that minimises the distortion −log p(x|z).

    It has no prior, so it has no rate and no likelihood of x, and cannot be sampled.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox, torch
        >>> elbox.recipes.ae(elbox.DataSpec((5,), "binary")).model.reconstruct(torch.ones(2, 5)).shape
        torch.Size([2, 5])
    """
    encoder = MLP(data.event_shape, hidden, latent, activation, offset=data.offset, scale=data.scale)
    cls = default_likelihood(data, likelihood)
    decoder = MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation)
    return Recipe(
        VAE(None, cls.for_data(decoder, data), Deterministic(encoder, latent)), Distortion(), Reparameterized()
    )


@recipe
def dae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    masking: float = 0.25,
    noise: float = 0.0,
) -> Recipe:
    r"""The denoising autoencoder (Vincent et al., 2008): encodes a corrupted x̃ and reconstructs the clean x.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        masking: Probability with which a dimension is set to 0.
        noise: Standard deviation of added Gaussian noise, in units of the data.

    Example:
        >>> import elbox
        >>> elbox.recipes.dae(elbox.DataSpec((5,), "binary"), masking=0.5).model.posterior.masking
        0.5
    """
    plain = ae(data, latent, hidden, activation, likelihood).model
    return Recipe(
        VAE(None, plain.likelihood, Corrupted(plain.posterior, masking, noise)), Distortion(), Reparameterized()
    )


def with_prior(plain: Recipe, prior: nn.Module) -> VAE:
    """The autoencoder of a recipe with a prior, from which it can be sampled."""
    return VAE(prior, plain.model.likelihood, plain.model.posterior)
