"""Posteriors that cannot collapse to the prior: their rate has a floor."""

from __future__ import annotations

__all__ = ["bn_vae", "delta_vae"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.posteriors import BatchNormalized, CommittedNormal
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def bn_vae(
    data: DataSpec,
    latent: int = 32,
    gamma: float = 0.6,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""BN-VAE (Zhu et al., 2020): means normalised over the batch, so that the mean rate is at least ½ D γ² nats.

    Theirs is a model of text; here the networks are those of `vae`, trained without a warm-up.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension D of z.
        gamma: Deviation γ of each mean over the data.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.bn_vae(elbox.DataSpec((784,), "binary")).model.posterior.gamma
        0.6
    """
    base = vae(data, latent, hidden, activation, likelihood, 0.0)
    net: nn.Module = base.model.posterior.net  # type: ignore[assignment]
    return replace(base, model=VAE(base.model.prior, base.model.likelihood, BatchNormalized(net, latent, gamma)))


@recipe
def delta_vae(
    data: DataSpec,
    latent: int = 32,
    rate: float = 3.0,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.SiLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""An independent δ-VAE (Razavi et al., 2019): every example has a rate of at least so many nats.

    Theirs are models of images and text with autoregressive decoders; here the networks are those of `vae`, trained
    without a warm-up.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension D of z.
        rate: The least rate δ·D, nats.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.delta_vae(elbox.DataSpec((784,), "binary"), rate=8.0).model.posterior.each
        0.25
    """
    base = vae(data, latent, hidden, activation, likelihood, 0.0)
    net: nn.Module = base.model.posterior.net  # type: ignore[assignment]
    return replace(base, model=VAE(base.model.prior, base.model.likelihood, CommittedNormal(net, latent, rate)))
