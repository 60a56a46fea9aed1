"""Models that are trained against a discriminator."""

from __future__ import annotations

__all__ = ["aae", "gan", "vae_gan", "wae_gan"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.estimators import Reparameterized
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP
from elbox.objectives import GAN, VAEGAN, AdversarialCodes, Distortion, Penalized
from elbox.posteriors import FromPrior
from elbox.priors import StandardNormal
from elbox.recipes.autoencoders import ae, with_prior
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.recipes.units import plain_mean
from elbox.spec import DataSpec


@recipe
def wae_gan(
    data: DataSpec,
    latent: int = 8,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    discriminator: Sequence[int] = (512, 512, 512, 512),
    weight: float = 10.0,
) -> Recipe:
    r"""WAE-GAN (Tolstikhin et al., 2018, algorithm 1): a deterministic code whose aggregate a discriminator compares
    with N(0, I), weighed by λ.

    Latent size, λ and discriminator are the paper's for MNIST. Its networks are convolutional; its cost is ‖x − x̂‖² of
    pixels in [0, 1], here −log p(x|z) of the likelihood; its discriminator learns half as fast, here all players share
    one learning rate.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity of encoder and decoder.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        discriminator: Widths of the discriminator's hidden layers, ReLU.
        weight: λ, the penalty's weight.

    Example:
        >>> import elbox
        >>> elbox.recipes.wae_gan(elbox.DataSpec((5,), "binary")).model.sample(3).shape
        torch.Size([3, 5])
    """
    model = with_prior(ae(data, latent, hidden, activation, likelihood), StandardNormal(latent))
    penalty = AdversarialCodes(MLP(latent, discriminator, ()), weight)
    return Recipe(model, Penalized(Distortion(), [penalty]), Reparameterized())


@recipe
def aae(
    data: DataSpec,
    latent: int = 8,
    hidden: Sequence[int] = (1000, 1000),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    discriminator: Sequence[int] = (1000, 1000),
) -> Recipe:
    r"""The adversarial autoencoder (Makhzani et al., 2016): a deterministic code that a discriminator cannot tell from
    draws of N(0, I).

    The networks and the 8 dimensions are those of its experiments on MNIST. There reconstruction and regularisation
    alternate with learning rates of their own, and the prior is wider, which is a matter of the code's unit; here they
    are one step of one optimiser, as WAE-GAN with λ = 1.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity of encoder and decoder.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        discriminator: Widths of the discriminator's hidden layers, ReLU.

    Example:
        >>> import elbox
        >>> elbox.recipes.aae(elbox.DataSpec((5,), "binary")).objective.penalties[0].weight
        1.0
    """
    return wae_gan(data, latent, hidden, activation, likelihood, discriminator, weight=1.0)


@recipe
def vae_gan(
    data: DataSpec,
    latent: int = 128,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    discriminator: Sequence[int] = (400, 128),
    gamma: float = 0.01,
) -> Recipe:
    r"""VAE/GAN (Larsen et al., 2016, algorithm 1): a VAE that compares x and x̂ in a layer of a GAN's discriminator.

    Its networks are convolutional, for faces; here they are MLPs. The likelihood says what x̂ is, and how models are
    measured and selected; what a learned variance would be is not trained.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes Bernoulli for binary data, else FixedGaussian.
        discriminator: Widths of the discriminator's hidden layers; the last is the one in which x and x̂ are compared.
        gamma: γ, the weight of the feature distortion against deception in the decoder's loss.

    Example:
        >>> import elbox
        >>> elbox.recipes.vae_gan(elbox.DataSpec((1, 8, 8), "binary"), latent=2).model.sample(3).shape
        torch.Size([3, 1, 8, 8])
    """
    *widths, last = discriminator
    features = MLP(data.event_shape, widths, last, activation, offset=data.offset, scale=data.scale)
    judge = VAEGAN(features, MLP(last, [last], (), activation), gamma)
    return replace(vae(data, latent, hidden, activation, plain_mean(data, likelihood)), objective=judge)


@recipe
def gan(
    data: DataSpec,
    latent: int = 100,
    hidden: Sequence[int] = (1200, 1200),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    discriminator: Sequence[int] = (240, 240),
) -> Recipe:
    r"""The generative adversarial network (Goodfellow et al., 2014), with no encoder: its posterior is its prior.

    The widths are the authors' for MNIST, whose discriminator has maxout units and dropout, and whose noise is uniform.
    With a Gaussian likelihood the log-likelihood that elbox reports is the kernel density estimate of their table 1,
    for as many draws as samples.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the generator's hidden layers, from the data to z.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes Bernoulli for binary data, else FixedGaussian.
        discriminator: Widths of the discriminator's hidden layers.

    Example:
        >>> import elbox
        >>> elbox.recipes.gan(elbox.DataSpec((1, 8, 8), "binary"), latent=2).model.sample(3).shape
        torch.Size([3, 1, 8, 8])
    """
    cls, prior = plain_mean(data, likelihood), StandardNormal(latent)
    generator = MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation)
    judge = MLP(data.event_shape, discriminator, (), activation, offset=data.offset, scale=data.scale)
    return Recipe(VAE(prior, cls.for_data(generator, data), FromPrior(prior)), GAN(judge), Reparameterized())
