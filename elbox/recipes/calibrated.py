"""The σ-VAE, whose likelihood finds its own variance."""

from __future__ import annotations

__all__ = ["sigma_vae"]

from collections.abc import Sequence

from torch import nn

from elbox.likelihoods import OptimalGaussian
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def sigma_vae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    warmup: float = 0.0,
) -> Recipe:
    r"""σ-VAE (Rybkin et al., 2021): a Gaussian likelihood whose variance is the mean squared error, in closed form.

    So there is no weight between reconstruction and rate to choose. The paper's networks are convolutional; these are
    the MLPs of `vae`. On levels or counts it is a density of the integers as real numbers.

    Arguments:
        data: Shape and kind of the data, not binary or complex.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        warmup: Fraction of the run over which the rate's weight rises from 0 to 1; 0 for none.

    Example:
        >>> import elbox
        >>> elbox.recipes.sigma_vae(elbox.DataSpec((5,), "real"), latent=2).model.sample(3).shape
        torch.Size([3, 5])
    """
    return vae(data, latent, hidden, activation, OptimalGaussian, warmup)
