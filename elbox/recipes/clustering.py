"""Variational autoencoders whose codes fall into clusters."""

from __future__ import annotations

__all__ = ["vade"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import Path, Reparameterized
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP
from elbox.objectives import ELBO, Distortion
from elbox.posteriors import Centre, DiagonalNormal
from elbox.priors import NormalMixture
from elbox.recipes.base import Recipe, default_likelihood, recipe
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
    r"""Variational deep embedding (VaDE; Jiang et al., 2017): z from a mixture of normals, whose components are clusters.

    The networks, 784-500-500-2000-10, are trained as an autoencoder first; then the mixture is fitted to the codes, and
    all is trained on the ELBO. The cluster is summed out of p(z), where they bound it by an analytic KL averaged with
    q(c|x): the same model and a bound at least as tight, with q(c|x) as in `elbox.evaluate.assignments`. On MNIST they
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
