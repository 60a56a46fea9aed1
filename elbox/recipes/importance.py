"""Importance-weighted autoencoders and their relatives: bounds of many samples, tighter than the ELBO."""

from __future__ import annotations

__all__ = ["iwae", "miwae", "piwae", "ciwae", "renyi_vae", "tvo"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.estimators import Covariance, Path
from elbox.likelihoods.base import Likelihood
from elbox.objectives import CIWAE, IWAE, MIWAE, PIWAE, TVO, Renyi
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def iwae(
    data: DataSpec,
    latent: int = 50,
    samples: int = 50,
    hidden: Sequence[int] = (200, 200),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""IWAE (Burda et al., 2016, eq. 8) with the networks of its §5.1, and the DReG gradient (Tucker et al., 2019).

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        samples: Number K of importance samples.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.iwae(elbox.DataSpec((784,), "binary"), samples=5).objective.samples
        5
    """
    return replace(vae(data, latent, hidden, activation, likelihood), objective=IWAE(samples), estimator=Path())


@recipe
def miwae(
    data: DataSpec,
    latent: int = 50,
    outer: int = 8,
    inner: int = 8,
    hidden: Sequence[int] = (200, 200),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""MIWAE (Rainforth et al., 2018, §5): the mean of M importance-weighted bounds of K samples each.

    Their settings (M, K) = (8, 8) and the networks of Burda et al. (2016), with the DReG gradient.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        outer: Number M of bounds.
        inner: Number K of importance samples in each; M · K in all.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.miwae(elbox.DataSpec((784,), "binary")).objective.samples
        64
    """
    base = vae(data, latent, hidden, activation, likelihood)
    return replace(base, objective=MIWAE(outer, inner), estimator=Path())


@recipe
def piwae(
    data: DataSpec,
    latent: int = 50,
    outer: int = 8,
    inner: int = 8,
    hidden: Sequence[int] = (200, 200),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""PIWAE (Rainforth et al., 2018, §5): the decoder by IWAE with M · K samples, the encoder by MIWAE(M, K).

    Their settings (M, K) = (8, 8) and the networks of Burda et al. (2016), with the DReG gradient.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        outer: Number M of bounds.
        inner: Number K of importance samples in each; M · K in all.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.piwae(elbox.DataSpec((784,), "binary")).objective.inference.arguments
        {'outer': 8, 'inner': 8}
    """
    base = vae(data, latent, hidden, activation, likelihood)
    return replace(base, objective=PIWAE(outer, inner), estimator=Path())


@recipe
def ciwae(
    data: DataSpec,
    latent: int = 50,
    beta: float = 0.5,
    samples: int = 64,
    hidden: Sequence[int] = (200, 200),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""CIWAE (Rainforth et al., 2018, §5): β ELBO + (1 − β) IWAE of the same 64 samples.

    With the networks of Burda et al. (2016) and the doubly reparameterised gradient of the combination.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        beta: Weight β of the ELBO, in [0, 1].
        samples: Number K of samples.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.ciwae(elbox.DataSpec((784,), "binary")).objective.beta
        0.5
    """
    base = vae(data, latent, hidden, activation, likelihood)
    return replace(base, objective=CIWAE(beta, samples), estimator=Path())


@recipe
def renyi_vae(
    data: DataSpec,
    latent: int = 50,
    alpha: float = 0.5,
    samples: int = 50,
    hidden: Sequence[int] = (200, 200),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""The VAE with a Rényi bound (Li & Turner, 2016, §4.1): α = 0.5 lies between the ELBO (α → 1) and IWAE (α = 0).

    With the networks of Burda et al. (2016), as there, and the doubly reparameterised gradient of order α.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        alpha: Order α ≠ 1; negative orders tend to upper bounds and are selected on IWAE.
        samples: Number K of samples.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.renyi_vae(elbox.DataSpec((784,), "binary"), alpha=-1.0).objective.alpha
        -1.0
    """
    base = vae(data, latent, hidden, activation, likelihood)
    return replace(base, objective=Renyi(alpha, samples), estimator=Path())


@recipe
def tvo(
    data: DataSpec,
    latent: int = 50,
    partitions: int = 5,
    samples: int = 10,
    log_first: float = -1.09,
    hidden: Sequence[int] = (200, 200),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""The thermodynamic variational objective (Masrani et al., 2019, §3) with the authors' covariance gradient.

    It needs no reparameterisation and is biased by O(1/K); `dataclasses.replace(recipe, estimator=Path())` is not.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        partitions: Number S of intervals.
        samples: Number K of samples.
        log_first: log₁₀ β_1 < 0, where the first interval ends.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.tvo(elbox.DataSpec((784,), "binary"), partitions=2, log_first=-1.0).objective.betas
        (0.0, 0.1, 1.0)
    """
    base = vae(data, latent, hidden, activation, likelihood)
    return replace(base, objective=TVO(partitions, samples, log_first), estimator=Covariance())
