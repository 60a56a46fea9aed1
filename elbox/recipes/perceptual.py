"""VAEs whose reconstructions are compared as images, not pixel by pixel."""

from __future__ import annotations

__all__ = ["ms_ssim_vae"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.likelihoods.base import Likelihood
from elbox.objectives import MSSSIM, Penalized, Rate
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.recipes.units import plain_mean, span
from elbox.spec import DataSpec

WINDOW = 11  # pixels, in the paper


@recipe
def ms_ssim_vae(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    weight: float = 500.0,
) -> Recipe:
    r"""A VAE that minimises C (1 − MS-SSIM(x, x̂)) + KL(q(z|x) ‖ p(z)) (Snell et al., 2017, the expected-loss VAE).

    The window has 11 pixels (Wang et al., 2004), or as many as smaller images have (an odd number);
    the number of scales follows from the size of the images, 2 for 28 × 28. The likelihood says what x̂ is, and how
    models are measured and selected; what a learned variance would be is not trained.

    Arguments:
        data: Shape and kind of the images.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes Bernoulli for binary data, else FixedGaussian.
        weight: C, the nats that the difference between no similarity and equality costs.

    Raises:
        ShapeError: from the first batch on, if the data are no images.

    Example:
        >>> import elbox
        >>> elbox.recipes.ms_ssim_vae(elbox.DataSpec((1, 8, 8), "binary")).objective.penalties[0].window
        7
    """
    side = min(data.event_shape[-2:])
    penalty = MSSSIM(span(data), weight, window=max(3, min(WINDOW, side - 1 + side % 2)))
    base = vae(data, latent, hidden, activation, plain_mean(data, likelihood))
    return replace(base, objective=Penalized(Rate(), [penalty]))
