"""Variational autoencoders of counts: gene expression, words in documents."""

from __future__ import annotations

__all__ = ["count_vae", "topic_vae"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import AnalyticKL
from elbox.likelihoods import Multinomial, NegativeBinomial, ZeroInflatedNegativeBinomial
from elbox.likelihoods.negative_binomial import each_dimension
from elbox.model import VAE
from elbox.nn import MLP, LogCounts, LogTotal
from elbox.objectives import ELBO
from elbox.posteriors import DiagonalNormal
from elbox.priors import StandardNormal
from elbox.recipes.base import Recipe, recipe
from elbox.spec import DataSpec


@recipe
def count_vae(
    data: DataSpec,
    latent: int = 10,
    hidden: Sequence[int] = (128,),
    activation: type[nn.Module] = nn.ReLU,
    *,
    zero_inflated: bool = False,
    library: bool = False,
) -> Recipe:
    r"""A VAE of counts after scVI (Lopez et al., 2018, Methods), with its sizes: log(1 + x)-128-10, negative binomial.

    Each dimension has a dispersion of its own, learned. scVI's size factor ℓ is latent in the paper, observed by
    default in its software, whose default likelihood has extra zeros. With `library`, counts have mean ℓ · softmax,
    with the row's total as ℓ: it is the model's condition, seen by the encoder too, and z says what the row is made of,
    not how much of it there is. A c = log ℓ, [B, 1], may be given instead; samples without one have a typical ℓ.
    Without `library` the size of a row is part of z. Batch normalisation and dropout of scVI's networks are left out.

    Arguments:
        data: Shape and kind of the data, counts.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        zero_inflated: Extra zeros with a probability that depends on z (ZINB).
        library: The total of each row is given; see `elbox.likelihoods.NegativeBinomial`.

    Example:
        >>> import elbox
        >>> elbox.recipes.count_vae(elbox.DataSpec((5,), "count"), zero_inflated=True).model.sample(3).shape
        torch.Size([3, 5])
    """
    cls = ZeroInflatedNegativeBinomial if zero_inflated else NegativeBinomial
    cls.check(data)
    encoder = MLP(data.event_shape, hidden, DiagonalNormal.output_shape(latent), activation, context=int(library))
    decoder = MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation)
    likelihood = cls(decoder, *each_dimension(data), library=library)
    posterior = DiagonalNormal(LogCounts(encoder), latent)
    model = VAE(StandardNormal(latent), likelihood, posterior, LogTotal(len(data.event_shape)) if library else None)
    return Recipe(model, ELBO(), AnalyticKL())


@recipe
def topic_vae(
    data: DataSpec,
    latent: int = 50,
    hidden: Sequence[int] = (500,),
    activation: type[nn.Module] = nn.Tanh,
) -> Recipe:
    r"""A neural topic model, the NVDM of Miao, Yu & Blunsom (2016): Gaussian z, words drawn from softmax(Rz + b).

    The encoder is an MLP of the counts as they are, the decoder affine: row w of R says how word w goes with each of
    the `latent` topics, and b starts at the logarithm of the words' frequencies. ProdLDA (Srivastava & Sutton, 2017)
    puts a logistic-normal prior in place of N(0, I).

    Arguments:
        data: Shape and kind of the data, counts of words.
        latent: Number of topics, the dimension of z.
        hidden: Widths of the encoder's hidden layers.
        activation: Non-linearity.

    Example:
        >>> import elbox
        >>> topics = elbox.recipes.topic_vae(elbox.DataSpec((2000,), "count", offset=0.05), latent=20)
        >>> topics.model.sample(3).sum(-1)
        tensor([100., 100., 100.])
    """
    encoder = MLP(data.event_shape, hidden, DiagonalNormal.output_shape(latent), activation)
    decoder = Multinomial.for_data(MLP(latent, [], data.event_shape), data)
    return Recipe(VAE(StandardNormal(latent), decoder, DiagonalNormal(encoder, latent)), ELBO(), AnalyticKL())
