"""A variational autoencoder whose posterior has a covariance of low rank plus a diagonal."""

from __future__ import annotations

__all__ = ["vae_low_rank"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.posteriors import LowRankNormal
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.flow import encoder_like
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def vae_low_rank(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
    rank: int = 5,
    warmup: float = 0.1,
) -> Recipe:
    r"""A VAE with q(z|x) = N(μ, S (I + W Wᵀ) S), W of R columns (Ong, Nott & Smith, 2018, for each x its own).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z; the encoder puts out D (2 + R) numbers.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        rank: R.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox, torch
        >>> r = elbox.recipes.vae_low_rank(elbox.DataSpec((5,), "real"), latent=3, rank=2)
        >>> r.model.encode(torch.zeros(2, 5)).covariance_matrix.shape
        torch.Size([2, 3, 3])
    """
    base = vae(data, latent, hidden, activation, likelihood, warmup)
    encoder = encoder_like(base, LowRankNormal.output_shape(latent, rank))
    model = VAE(base.model.prior, base.model.likelihood, LowRankNormal(encoder, latent, rank))
    return replace(base, model=model)
