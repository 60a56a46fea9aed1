"""Variational autoencoders that are to find independent factors of variation."""

from __future__ import annotations

__all__ = ["beta_tcvae", "dip_vae", "factor_vae"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.errors import SettingError
from elbox.likelihoods.base import Likelihood
from elbox.nn import MLP
from elbox.objectives import ELBO, AdversarialTotalCorrelation, InferredPrior, Penalized, TotalCorrelation
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.schedules import Schedule, check_weight
from elbox.spec import DataSpec


@recipe
def beta_tcvae(
    data: DataSpec,
    latent: int = 10,
    beta: float = 6.0,
    hidden: Sequence[int] = (1200, 1200),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    examples: int | None = None,
) -> Recipe:
    r"""β-TCVAE (Chen et al., 2018, eq. 4 with α = γ = 1): the ELBO with the total correlation weighted by β.

    log q(z) is estimated by minibatch-stratified sampling (appendix C.2); `replace` the objective for other choices.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        beta: Weight of the total correlation ≥ 1; 1 is the plain ELBO.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        examples: Number N of training examples; None takes that of the data.

    Example:
        >>> import elbox
        >>> r = elbox.recipes.beta_tcvae(elbox.DataSpec((5,), "binary", examples=100), hidden=(8,))
        >>> r.objective.penalties[0].weight
        5.0
    """
    if beta < 1:
        raise SettingError(f"got beta={beta}; expected a number ≥ 1: the ELBO has the total correlation with weight 1")
    penalty = TotalCorrelation(beta - 1.0, examples or data.examples)
    return replace(vae(data, latent, hidden, activation, likelihood), objective=Penalized(ELBO(), [penalty]))


@recipe
def factor_vae(
    data: DataSpec,
    latent: int = 10,
    gamma: float | Schedule = 35.0,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    discriminator: Sequence[int] = (1000, 1000, 1000, 1000, 1000, 1000),
) -> Recipe:
    r"""FactorVAE (Kim & Mnih, 2018, eq. 2): the ELBO less γ times the total correlation as a discriminator sees it.

    The discriminator is theirs, 6 layers of 1000 leaky-ReLU units; it learns with the settings of the run (theirs: Adam
    of its own, with β = 0.5, 0.9). Their encoder and decoder are convolutional: `replace` the model.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        gamma: Weight γ ≥ 0 of the total correlation, a number or a schedule.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity of encoder and decoder.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        discriminator: Widths of the discriminator's hidden layers.

    Example:
        >>> import elbox
        >>> r = elbox.recipes.factor_vae(elbox.DataSpec((5,), "binary"), latent=3, discriminator=(8, 8))
        >>> r.objective.penalties[0].discriminator.inputs
        (3,)
    """
    check_weight("gamma", gamma)
    base = vae(data, latent, hidden, activation, likelihood)
    penalty = AdversarialTotalCorrelation(MLP(latent, discriminator, (), nn.LeakyReLU), gamma)
    return replace(base, objective=Penalized(ELBO(), [penalty]))


@recipe
def dip_vae(
    data: DataSpec,
    latent: int = 10,
    weight: float | Schedule = 10.0,
    ratio: float = 10.0,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    *,
    of_codes: bool = False,
) -> Recipe:
    r"""DIP-VAE (Kumar et al., 2018, eq. 6): the ELBO with the covariance of E[z|x] pulled to the identity.

    With `of_codes` it is DIP-VAE-II (eq. 7), for which they take ratio = 1.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        weight: λ_od ≥ 0, the weight of covariances, a number or a schedule.
        ratio: λ_d / λ_od, the relative weight of variances.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        of_codes: The covariance of the codes instead of the means.

    Example:
        >>> import elbox
        >>> r = elbox.recipes.dip_vae(elbox.DataSpec((5,), "binary"), of_codes=True, ratio=1.0)
        >>> r.objective.penalties[0].arguments
        {'weight': 10.0, 'ratio': 1.0, 'of_codes': True}
    """
    penalty = InferredPrior(weight, ratio, of_codes=of_codes)
    return replace(vae(data, latent, hidden, activation, likelihood), objective=Penalized(ELBO(), [penalty]))
