"""Deterministic autoencoders with a penalty in the place of noise."""

from __future__ import annotations

__all__ = ["contractive_ae", "rae_gp", "rae_l2"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import Reparameterized
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import Layer, Transposed
from elbox.objectives import CodeNorm, Contractive, DecoderSlope, Distortion, Penalized, WeightNorm
from elbox.posteriors import Deterministic
from elbox.priors import FittedMixture
from elbox.recipes.autoencoders import ae
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.units import plain_mean, span
from elbox.spec import DataSpec


@recipe
def rae_l2(
    data: DataSpec,
    latent: int = 16,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    beta: float = 0.01,
    weight: float = 1e-4,
    components: int = 10,
) -> Recipe:
    r"""RAE-L2 (Ghosh et al., 2020): distortion + β ½‖z‖² + λ‖θ‖², θ the decoder's weights; a mixture of normals fitted
    to the codes after training makes it a generative model.

    β and λ are those of the authors' code for MNIST, turned from means over pixels and latent dimensions into sums;
    their networks are convolutional, and their distortion is ‖x − x̂‖² of pixels in [0, 1], here −log p(x|z).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        beta: β, the weight of the code's norm.
        weight: λ, the weight of the norm of the decoder's weights.
        components: Number of components of the mixture, of full covariance.

    Example:
        >>> import elbox
        >>> recipe = elbox.recipes.rae_l2(elbox.DataSpec((5,), "binary"))
        >>> recipe.objective.penalties[1].network is recipe.model.likelihood
        True
    """
    plain = ae(data, latent, hidden, activation, likelihood).model
    penalties = [CodeNorm(beta), WeightNorm(plain.likelihood, weight)]
    model = VAE(FittedMixture(latent, components), plain.likelihood, plain.posterior)
    return Recipe(model, Penalized(Distortion(), penalties), Reparameterized())


@recipe
def rae_gp(
    data: DataSpec,
    latent: int = 16,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    beta: float = 0.01,
    weight: float = 0.01,
    components: int = 10,
) -> Recipe:
    r"""RAE-GP (Ghosh et al., 2020): distortion + β ½‖z‖² + λ‖∂x̂/∂z‖²; a mixture of normals fitted to the codes after
    training makes it a generative model.

    The slope is that of x̂ in units of the range of binary data and levels, else of the data's spread, and its norm is
    that of the whole Jacobian, exactly; the authors' code takes the gradient of Σ x̂² instead, so λ is not theirs.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        beta: β, the weight of the code's norm.
        weight: λ, the weight of the decoder's slope.
        components: Number of components of the mixture, of full covariance.

    Example:
        >>> import elbox
        >>> elbox.recipes.rae_gp(elbox.DataSpec((5,), "binary")).model.sample(3).shape
        torch.Size([3, 5])
    """
    plain = ae(data, latent, hidden, activation, likelihood).model
    penalties = [CodeNorm(beta), DecoderSlope(weight, span(data))]
    model = VAE(FittedMixture(latent, components), plain.likelihood, plain.posterior)
    return Recipe(model, Penalized(Distortion(), penalties), Reparameterized())


@recipe
def contractive_ae(
    data: DataSpec,
    latent: int = 64,
    activation: type[nn.Module] = nn.Sigmoid,
    weight: float = 0.1,
    probes: int | None = None,
) -> Recipe:
    r"""The contractive autoencoder (Rifai et al., 2011): distortion + λ‖∂z/∂x‖² with z = s(W x + b), x̂ from Wᵀ z + c.

    Tied weights keep it from shrinking the code to no purpose. The slope is for x in units of the range of binary data
    and levels, else of the data's spread. The likelihood
    is Bernoulli for binary data, else FixedGaussian: tied weights put out one number for each dimension.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        activation: Non-linearity of the code.
        weight: λ, the weight of the encoder's slope.
        probes: Random vectors for an estimate of the norm, cheaper for large codes; None for the exact norm.

    Example:
        >>> import elbox
        >>> recipe = elbox.recipes.contractive_ae(elbox.DataSpec((5,), "binary"))
        >>> recipe.model.likelihood.net.layer is recipe.model.posterior.net
        True
    """
    layer = Layer(data.event_shape, latent, activation, data.offset, data.scale)
    cls = plain_mean(data, None)
    model = VAE(None, cls.for_data(Transposed(layer), data), Deterministic(layer, latent))
    return Recipe(model, Penalized(Distortion(), [Contractive(weight, span(data), probes)]), Reparameterized())
