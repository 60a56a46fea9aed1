"""Variational autoencoders whose codes fall into clusters."""

from __future__ import annotations

__all__ = ["gmvae", "vade"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import Enumerated, Path, Reparameterized
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.models import GMVAE
from elbox.nn import MLP
from elbox.objectives import ELBO, Distortion
from elbox.posteriors import Centre, DiagonalNormal
from elbox.posteriors import NormalMixture as Mixture
from elbox.priors import NormalMixture
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.schedules import Linear
from elbox.spec import DataSpec


@recipe
def vade(
    data: DataSpec,
    latent: int = 10,
    components: int = 10,
    hidden: Sequence[int] = (500, 500, 2000),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    pretraining: float = 0.2,
) -> Recipe:
    r"""Variational deep embedding (VaDE; Jiang et al., 2017): a mixture of normals as prior, its components clusters.

    The networks, 784-500-500-2000-10, are trained as an autoencoder first; then the mixture is fitted to the codes, and
    all is trained on the ELBO. The cluster is summed out of p(z), where they bound it by an analytic KL averaged with
    q(c|x): the same model and a bound at least as tight, with q(c|x) as in `elbox.assignments`. On MNIST they
    take grey levels as probabilities of black, which in expectation is `--binarise dynamic`. They train by Adam at
    0.002, 100 examples a step, 300 passes.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        components: Number of clusters.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        pretraining: Passes of pretraining as a fraction of those that follow; 0 for none.

    Example:
        >>> import elbox
        >>> recipe = elbox.recipes.vade(elbox.DataSpec((784,), "binary"))
        >>> recipe.model.prior.from_codes, recipe.share
        (True, 0.2)
    """
    shape = DiagonalNormal.output_shape(latent)
    encoder = MLP(data.event_shape, hidden, shape, activation, offset=data.offset, scale=data.scale)
    cls, posterior = default_likelihood(data, likelihood), DiagonalNormal(encoder, latent)
    decoder = cls.for_data(MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation), data)
    model = VAE(NormalMixture(latent, components, from_codes=True), decoder, posterior)
    if pretraining <= 0:
        return Recipe(model, ELBO(), Path())
    first = Recipe(VAE(None, decoder, Centre(posterior)), Distortion(), Reparameterized())
    return Recipe(model, ELBO(), Path(), first, pretraining)


@recipe
def gmvae(
    data: DataSpec,
    latent: int = 64,
    components: int = 10,
    hidden: Sequence[int] = (512, 512),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    warmup: float = 0.1,
) -> Recipe:
    r"""A Gaussian-mixture VAE (Dilokthanakul et al., 2016), in the form of Shu (2016): q(y|x) q(z|x, y) p(z|y) p(x|z).

    The cluster y is summed over exactly, so that a step costs as many passes through the decoder as there are clusters.
    q(y|x) and all q(z|x, y) come from one network. Theirs has another latent variable from which p(z|y) is made, and
    draws of it; the form without, with 512-512-64 networks, is Shu's (*Gaussian mixture VAE: lessons in variational
    inference*, a web page).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        components: Number of clusters.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox
        >>> elbox.recipes.gmvae(elbox.DataSpec((5,), "binary"), latent=3, components=4).model.sample(2).shape
        torch.Size([2, 5])
    """
    shape = Mixture.output_shape(latent, components)
    encoder = MLP(data.event_shape, hidden, shape, activation, offset=data.offset, scale=data.scale)
    cls = default_likelihood(data, likelihood)
    decoder = cls.for_data(MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation), data)
    model = GMVAE(NormalMixture(latent, components), decoder, Mixture(encoder, latent, components))
    return Recipe(model, ELBO(beta=Linear(over=warmup) if warmup else 1.0), Enumerated())
