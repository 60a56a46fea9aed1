"""Variational autoencoders with quantised codes."""

from __future__ import annotations

__all__ = ["fsq_vae", "residual_vq_vae", "vq_vae"]

from collections.abc import Sequence
from math import prod

from torch import nn

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
    codes: int = 512,
    width: int = 64,
    channels: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (400,),
    positions: int = 16,
    likelihood: type[Likelihood] | None = None,
    beta: float = 0.25,
) -> Recipe:
    r"""VQ-VAE (van den Oord, Vinyals & Kavukcuoglu, 2017): each vector of a map is one of K, found by nearest neighbour.

    K and β are theirs, and the moving averages of appendix A.1 (γ = 0.99); their networks have 256 units. The prior is
    uniform: fit an autoregressive one to the codes afterwards. β goes with a sum over positions: see `Commitment`.

    Arguments:
        data: Shape and kind of the data; images get convolutional networks, all else MLPs.
        codes: Number K of codes.
        width: Dimension of their vectors.
        channels: For images, number of feature maps after each halving; 28×28 pixels become a map of 7×7 codes.
        hidden: For other data, widths of the encoder's hidden layers; the decoder mirrors them.
        positions: For other data, number of codes.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        beta: β, the weight of the commitment.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vq_vae(elbox.DataSpec((1, 28, 28), "levels", levels=256)).model
        >>> model.prior.positions, model.sample(2).shape
        (49, torch.Size([2, 1, 28, 28]))
    """
    model = _quantised(data, Codebook(codes, width), channels, hidden, positions, likelihood)
    return Recipe(model, Penalized(ELBO(), [Commitment(beta)]), StraightThrough())


@recipe
def residual_vq_vae(
    data: DataSpec,
    codes: int = 512,
    width: int = 64,
    depth: int = 4,
    channels: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (400,),
    likelihood: type[Likelihood] | None = None,
    beta: float = 0.25,
) -> Recipe:
    r"""A VQ-VAE whose vectors are quantised again and again (Zeghidour et al., 2021): what one level leaves, the next
    quantises.

    Theirs has 8 levels of 1024 codes, for sound; 4 levels are those of Lee et al. (2022), *Autoregressive image
    generation using residual quantization*, who share one table.

    Arguments:
        data: Shape and kind of the data; images get convolutional networks, all else MLPs and codes of one position.
        codes: Number K of codes of each level.
        width: Dimension of their vectors.
        depth: Number of levels.
        channels: For images, number of feature maps after each halving.
        hidden: For other data, widths of the encoder's hidden layers; the decoder mirrors them.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        beta: β, the weight of the commitment.

    Example:
        >>> import elbox
        >>> elbox.recipes.residual_vq_vae(elbox.DataSpec((5,), "real")).model.sample(2).shape
        torch.Size([2, 5])
    """
    model = _quantised(data, Codebook(codes, width, depth), channels, hidden, 1, likelihood)
    return Recipe(model, Penalized(ELBO(), [Commitment(beta)]), StraightThrough())


@recipe
def fsq_vae(
    data: DataSpec,
    levels: Sequence[int] = (8, 5, 5, 5),
    channels: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (400,),
    positions: int = 16,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""FSQ (Mentzer et al., 2023): a few numbers at each position, each rounded to one of a few levels.

    The levels are those of their table 1 for 2¹⁰ codes. There is no table to learn and no penalty: the objective is the
    ELBO. The prior is uniform: fit an autoregressive one to the codes afterwards.

    Arguments:
        data: Shape and kind of the data; images get convolutional networks, all else MLPs.
        levels: Number of levels of each channel, 3 or more.
        channels: For images, number of feature maps after each halving.
        hidden: For other data, widths of the encoder's hidden layers; the decoder mirrors them.
        positions: For other data, number of codes.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.fsq_vae(elbox.DataSpec((5,), "real")).model.prior.codebook.size
        1000
    """
    model = _quantised(data, FiniteScalar(levels), channels, hidden, positions, likelihood)
    return Recipe(model, ELBO(), StraightThrough())


def _quantised(
    data: DataSpec,
    codebook: Quantizer,
    channels: Sequence[int],
    hidden: Sequence[int],
    positions: int,
    likelihood: type[Likelihood] | None,
) -> VAE:
    cls = default_likelihood(data, likelihood)
    encoder: nn.Module
    decoder: nn.Module
    if len(data.event_shape) == 3 and data.event_shape[0] <= 4 and min(data.event_shape[1:]) >= 8:
        encoder = MapEncoder(data.event_shape, codebook.width, channels, offset=data.offset, scale=data.scale)
        decoder, positions = MapDecoder(codebook.width, cls.output_shape(data), channels), prod(encoder.map)
    else:
        shape = QuantizedCode.output_shape(positions, codebook)
        encoder = MLP(data.event_shape, hidden, shape, nn.SiLU, offset=data.offset, scale=data.scale)
        decoder = MLP(positions * codebook.width, list(hidden)[::-1], cls.output_shape(data), nn.SiLU)
    decoder = Summed(decoder, codebook.depth) if codebook.depth > 1 else decoder
    return VAE(CodePrior(codebook, positions), cls.for_data(decoder, data), QuantizedCode(encoder, codebook))
