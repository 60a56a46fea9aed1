"""Topic models whose documents have proportions of topics."""

from __future__ import annotations

__all__ = ["logistic_normal_topic_vae"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import AnalyticKL
from elbox.likelihoods import Multinomial
from elbox.model import VAE
from elbox.nn import MLP, LogCounts, Proportions
from elbox.objectives import ELBO
from elbox.posteriors import DiagonalNormal
from elbox.priors import LogisticNormal
from elbox.recipes.base import Recipe, recipe
from elbox.schedules import Linear
from elbox.spec import DataSpec


@recipe
def logistic_normal_topic_vae(
    data: DataSpec,
    latent: int = 50,
    hidden: Sequence[int] = (100, 100),
    activation: type[nn.Module] = nn.Softplus,
    concentration: float = 1.0,
    warmup: float = 0.1,
) -> Recipe:
    r"""ProdLDA (Srivastava & Sutton, 2017): words from softmax(Bθ + b), proportions θ = softmax(z) about Dirichlet(α).

    z is normal with a `LogisticNormal` prior, its KL in closed form. The encoder, with 100-100 softplus units, reads
    log(1 + x); b starts at the logarithm of the words' frequencies. Their batch normalisation and dropout, against
    topics that collapse, are left out: the warm-up is there for that. They train by Adam at 0.002 with β₁ = 0.99.

    Arguments:
        data: Shape and kind of the data, counts of words.
        latent: Number of topics, the dimension of z.
        hidden: Widths of the encoder's hidden layers.
        activation: Non-linearity.
        concentration: α of the Dirichlet that the prior is close to.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox
        >>> spec = elbox.DataSpec((2000,), "count", offset=0.05)
        >>> elbox.recipes.logistic_normal_topic_vae(spec, latent=20).model.sample(3).sum(-1)
        tensor([100., 100., 100.])
    """
    encoder = LogCounts(MLP(data.event_shape, hidden, DiagonalNormal.output_shape(latent), activation))
    likelihood = Multinomial.for_data(Proportions(MLP(latent, [], data.event_shape)), data)
    model = VAE(LogisticNormal(latent, concentration), likelihood, DiagonalNormal(encoder, latent))
    return Recipe(model, ELBO(beta=Linear(over=warmup) if warmup else 1.0), AnalyticKL())
