"""Variational autoencoders with Gaussian posteriors."""

from __future__ import annotations

__all__ = ["vae", "conv_vae", "beta_vae", "vae_full_covariance", "linear_vae"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.estimators import AnalyticKL
from elbox.likelihoods import Gaussian
from elbox.likelihoods.base import Likelihood, one_spread
from elbox.model import VAE
from elbox.nn import MLP, ConvDecoder, ConvEncoder
from elbox.objectives import ELBO
from elbox.posteriors import DiagonalNormal, FullNormal
from elbox.priors import StandardNormal
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.schedules import Linear, Schedule
from elbox.spec import DataSpec


@recipe
def vae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    warmup: float = 0.1,
) -> Recipe:
    r"""The variational autoencoder of Kingma & Welling (2014), with MLPs: 784-400-20 on MNIST, as in PyTorch's example.

    Theirs have 500 tanh units, and are trained by Adagrad without a warm-up (`python -m reproduce aevb`). p(z) = N(0,
    I), q(z|x) = N(μ(x), diag σ²(x)), maximising the ELBO with the KL in closed form (their estimator B, eq. 10).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none. Without it deep
            decoders may learn to ignore z in the first steps, and never recover (Sønderby et al., 2016).

    Example:
        >>> import elbox
        >>> elbox.recipes.vae(elbox.DataSpec((1, 8, 8), "levels", levels=17), latent=2).model.sample(3).shape
        torch.Size([3, 1, 8, 8])
    """
    encoder = MLP(
        data.event_shape, hidden, DiagonalNormal.output_shape(latent), activation, offset=data.offset, scale=data.scale
    )
    model = VAE(
        StandardNormal(latent), _decoder(data, latent, hidden, activation, likelihood), DiagonalNormal(encoder, latent)
    )
    return Recipe(model, ELBO(beta=Linear(over=warmup) if warmup else 1.0), AnalyticKL())


@recipe
def conv_vae(
    data: DataSpec,
    latent: int = 20,
    channels: Sequence[int] = (32, 64),
    likelihood: type[Likelihood] | None = None,
    warmup: float = 0.1,
) -> Recipe:
    r"""A convolutional VAE for images of any size ≥ 8: strided encoder, residual bilinearly up-sampling decoder.

    Kingma & Welling's (2014) model with the networks of `ConvEncoder` and `ConvDecoder`; KL in closed form.

    Arguments:
        data: Shape and kind of the images.
        latent: Dimension of z.
        channels: Number of feature maps after each halving.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none. Without it deep
            decoders may learn to ignore z in the first steps, and never recover (Sønderby et al., 2016).

    Example:
        >>> import elbox
        >>> elbox.recipes.conv_vae(elbox.DataSpec((3, 21, 30), "levels", levels=256)).model.sample(2).shape
        torch.Size([2, 3, 21, 30])
    """
    cls = default_likelihood(data, likelihood)
    encoder = ConvEncoder(
        data.event_shape, DiagonalNormal.output_shape(latent), channels, offset=data.offset, scale=data.scale
    )
    decoder = ConvDecoder(latent, cls.output_shape(data), channels)
    model = VAE(StandardNormal(latent), cls.for_data(decoder, data), DiagonalNormal(encoder, latent))
    return Recipe(model, ELBO(beta=Linear(over=warmup) if warmup else 1.0), AnalyticKL())


@recipe
def beta_vae(
    data: DataSpec,
    latent: int = 16,
    beta: float | Schedule = 4.0,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""β-VAE (Higgins et al., 2017, eq. 4): the ELBO with the rate weighted by β.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        beta: Weight of the rate ≥ 0, a number or a schedule.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.beta_vae(elbox.DataSpec((5,), "binary"), beta=2.0).objective.beta
        2.0
    """
    return replace(vae(data, latent, hidden, activation, likelihood), objective=ELBO(beta=beta))


@recipe
def vae_full_covariance(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""A VAE whose posterior has a full covariance matrix, q(z|x) = N(μ, LLᵀ) (Kingma & Welling, 2019, §2.5.1).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z; the encoder puts out D (D + 2) numbers.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox, torch
        >>> r = elbox.recipes.vae_full_covariance(elbox.DataSpec((5,), "real"), latent=3)
        >>> r.model.encode(torch.zeros(2, 5)).covariance_matrix.shape
        torch.Size([2, 3, 3])
    """
    encoder = MLP(
        data.event_shape, hidden, FullNormal.output_shape(latent), activation, offset=data.offset, scale=data.scale
    )
    model = VAE(
        StandardNormal(latent), _decoder(data, latent, hidden, activation, likelihood), FullNormal(encoder, latent)
    )
    return Recipe(model, ELBO(), AnalyticKL())


@recipe
def linear_vae(data: DataSpec, latent: int = 2) -> Recipe:
    r"""The linear VAE, p(x|z) = N(Wz + μ, σ²I): at its optimum probabilistic PCA, whose likelihood is known exactly.

    Lucas et al. (2019), *Don't blame the ELBO!*, theorem 1: the ELBO has no spurious local maxima and its maximum is
    the maximum of the marginal likelihood of Tipping & Bishop (1999), eq. 4. On levels or counts it is a density of
    the integers as real numbers.

    Arguments:
        data: Shape and kind of the data; one spread for all dimensions, so that the noise is isotropic in the data's
            units.
        latent: Dimension of z, the number of principal components.

    Example:
        >>> import elbox
        >>> elbox.recipes.linear_vae(elbox.DataSpec((64,), "real"), latent=5).model.likelihood.net.outputs
        (64,)
    """
    one = one_spread(data.scale)
    encoder = MLP(data.event_shape, [], DiagonalNormal.output_shape(latent), offset=data.offset, scale=one)
    decoder = Gaussian(MLP(latent, [], data.event_shape), data.offset, one)
    return Recipe(VAE(StandardNormal(latent), decoder, DiagonalNormal(encoder, latent)), ELBO(), AnalyticKL())


def _decoder(
    data: DataSpec,
    latent: int,
    hidden: Sequence[int],
    activation: type[nn.Module],
    likelihood: type[Likelihood] | None,
) -> Likelihood:
    cls = default_likelihood(data, likelihood)
    return cls.for_data(MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation), data)
