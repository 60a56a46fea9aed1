"""Variational autoencoders with quantised codes."""

from __future__ import annotations

__all__ = ["fsq_vae", "residual_vq_vae", "vq_vae"]

from collections.abc import Sequence
from math import prod

from torch import nn

from elbox.errors import SettingError
from elbox.estimators import StraightThrough
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP, Codebook, FiniteScalar, MapDecoder, MapEncoder, Quantizer, Summed
from elbox.objectives import ELBO, Commitment, Penalized
from elbox.posteriors import QuantizedCode
from elbox.priors import CodePrior
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.spec import DataSpec


@recipe
def vq_vae(
    data: DataSpec,
    latent: int = 64,
    codes: int = 512,
    hidden: Sequence[int] | None = None,
    positions: int | None = None,
    likelihood: type[Likelihood] | None = None,
    beta: float = 0.25,
) -> Recipe:
    r"""VQ-VAE (van den Oord, Vinyals & Kavukcuoglu, 2017): each vector of a map becomes the nearest one of K.

    K and β are theirs, and the moving averages of appendix A.1 (γ = 0.99); their networks have 256 units. The prior is
    uniform: fit an autoregressive one to the codes afterwards. β goes with a sum over positions: see `Commitment`.

    Arguments:
        data: Shape and kind of the data; images get convolutional networks, all else MLPs.
        latent: Dimension of the vectors.
        codes: Number K of them.
        hidden: For images, number of feature maps after each halving, (32, 64) unless given; for other data, widths of
            the encoder's hidden layers, (400,), which the decoder mirrors.
        positions: Number of codes of an example that is no image, 16 unless given; 28×28 pixels become a map of 7×7.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        beta: β, the weight of the commitment.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vq_vae(elbox.DataSpec((1, 28, 28), "levels", levels=256)).model
        >>> model.prior.positions, model.sample(2).shape
        (49, torch.Size([2, 1, 28, 28]))
    """
    model = _quantised(data, Codebook(codes, latent), hidden, positions, likelihood)
    return Recipe(model, Penalized(ELBO(), [Commitment(beta)]), StraightThrough())


@recipe
def residual_vq_vae(
    data: DataSpec,
    latent: int = 64,
    codes: int = 512,
    depth: int = 4,
    hidden: Sequence[int] | None = None,
    positions: int | None = None,
    likelihood: type[Likelihood] | None = None,
    beta: float = 0.25,
) -> Recipe:
    r"""A VQ-VAE whose vectors are quantised again and again (Zeghidour et al., 2021): what one level leaves, the next
    quantises.

    Theirs has 8 levels of 1024 codes, for sound; 4 levels are those of Lee et al. (2022), *Autoregressive image
    generation using residual quantization*, who share one table.

    Arguments:
        data: Shape and kind of the data; images get convolutional networks, all else MLPs.
        latent: Dimension of the vectors.
        codes: Number K of them at each level.
        depth: Number of levels.
        hidden: For images, number of feature maps after each halving, (32, 64) unless given; for other data, widths of
            the encoder's hidden layers, (400,), which the decoder mirrors.
        positions: Number of codes of each level of an example that is no image, 1 unless given.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        beta: β, the weight of the commitment.

    Example:
        >>> import elbox
        >>> elbox.recipes.residual_vq_vae(elbox.DataSpec((5,), "real")).model.sample(2).shape
        torch.Size([2, 5])
    """
    model = _quantised(data, Codebook(codes, latent, depth), hidden, positions, likelihood)
    return Recipe(model, Penalized(ELBO(), [Commitment(beta)]), StraightThrough())


@recipe
def fsq_vae(
    data: DataSpec,
    levels: Sequence[int] = (8, 5, 5, 5),
    hidden: Sequence[int] | None = None,
    positions: int | None = None,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""FSQ (Mentzer et al., 2023): a few numbers at each position, each rounded to one of a few levels.

    The levels are those of their table 1 for 2¹⁰ codes. There is no table to learn and no penalty: the objective is the
    ELBO. The prior is uniform: fit an autoregressive one to the codes afterwards.

    Arguments:
        data: Shape and kind of the data; images get convolutional networks, all else MLPs.
        levels: Number of levels of each channel, 3 or more.
        hidden: For images, number of feature maps after each halving, (32, 64) unless given; for other data, widths of
            the encoder's hidden layers, (400,), which the decoder mirrors.
        positions: Number of codes of an example that is no image, 16 unless given.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.fsq_vae(elbox.DataSpec((5,), "real")).model.prior.codebook.size
        1000
    """
    model = _quantised(data, FiniteScalar(levels), hidden, positions, likelihood)
    return Recipe(model, ELBO(), StraightThrough())


def _quantised(
    data: DataSpec,
    codebook: Quantizer,
    hidden: Sequence[int] | None,
    positions: int | None,
    likelihood: type[Likelihood] | None,
) -> VAE:
    cls, event = default_likelihood(data, likelihood), data.event_shape
    encoder: nn.Module
    decoder: nn.Module
    if len(event) == 3 and event[0] <= 4 and min(event[1:]) >= 8:
        if positions is not None:
            raise SettingError(
                f"got positions={positions} for images of shape {event}, whose map of codes is halved once for each "
                "entry of hidden; expected positions for other data only; choose hidden instead"
            )
        channels = (32, 64) if hidden is None else hidden
        encoder = MapEncoder(event, codebook.width, channels, offset=data.offset, scale=data.scale)
        decoder, positions = MapDecoder(codebook.width, cls.output_shape(data), channels), prod(encoder.map)
    else:
        widths = (400,) if hidden is None else hidden
        positions = (16 if codebook.depth == 1 else 1) if positions is None else positions
        shape = QuantizedCode.output_shape(positions, codebook)
        encoder = MLP(event, widths, shape, nn.SiLU, offset=data.offset, scale=data.scale)
        decoder = MLP(positions * codebook.width, list(widths)[::-1], cls.output_shape(data), nn.SiLU)
    decoder = Summed(decoder, codebook.depth) if codebook.depth > 1 else decoder
    return VAE(CodePrior(codebook, positions), cls.for_data(decoder, data), QuantizedCode(encoder, codebook))
