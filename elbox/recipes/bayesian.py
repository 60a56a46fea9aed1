"""Inference over the decoder's weights: full variational Bayes, and maximum a posteriori."""

from __future__ import annotations

__all__ = ["bayesian_vae", "map_vae"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.estimators import MAP, AnalyticKL, BayesianWeights
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP, Bayesian
from elbox.objectives import ELBO
from elbox.posteriors import DiagonalNormal
from elbox.priors import StandardNormal
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def bayesian_vae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    scale: float = 1.0,
) -> Recipe:
    r"""Full variational Bayes (Kingma & Welling, 2014, appendix F): a distribution over z and the decoder's weights.

    It maximises ELBO(x) − KL(q(w) ‖ p(w)) / N, a bound on (1/N) log p(x_1, …, x_N); for few examples, which a decoder
    with one set of weights would learn by heart. Held-out numbers are of the predictive density ∫ q(w) p(x|w) dw.

    Arguments:
        data: Shape and kind of the data, with their number (`DataSpec.examples`).
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        scale: Standard deviation of the prior of every weight of the decoder.

    Example:
        >>> import elbox
        >>> elbox.recipes.bayesian_vae(elbox.DataSpec((5,), "binary", examples=100)).estimator.examples
        100
    """
    encoder = MLP(
        data.event_shape, hidden, DiagonalNormal.output_shape(latent), activation, offset=data.offset, scale=data.scale
    )
    cls = default_likelihood(data, likelihood)
    net = Bayesian(MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation), scale)
    model = VAE(StandardNormal(latent), cls.for_data(net, data), DiagonalNormal(encoder, latent))
    return Recipe(model, ELBO(), BayesianWeights(AnalyticKL(), data.examples))


@recipe
def map_vae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    scale: float = 1.0,
) -> Recipe:
    r"""A VAE with the most probable weights of the decoder under a prior: the MAP criterion of Kingma & Welling (2014),
    §5.

    It maximises ELBO(x) + log N(θ; 0, scale² I) / N.

    Arguments:
        data: Shape and kind of the data, with their number (`DataSpec.examples`).
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        scale: Standard deviation of the prior of every parameter of the decoder.

    Example:
        >>> import elbox
        >>> elbox.recipes.map_vae(elbox.DataSpec((5,), "binary", examples=100)).estimator.scale
        1.0
    """
    base = vae(data, latent, hidden, activation, likelihood, warmup=0.0)
    return replace(base, estimator=MAP(AnalyticKL(), data.examples, scale))
