"""Other ways to infer z and to learn from it: wake–sleep, Monte-Carlo EM, variational EM without an encoder."""

from __future__ import annotations

__all__ = ["local_vi", "mcem", "reweighted_wake_sleep", "wake_sleep"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.estimators import AnalyticKL, MonteCarloEM, ReweightedWakeSleep, WakeSleep
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP
from elbox.objectives import ELBO, IWAE
from elbox.posteriors import LocalNormal
from elbox.priors import StandardNormal
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.recipes.gaussian import vae
from elbox.spec import DataSpec


@recipe
def wake_sleep(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (500,),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""Wake–sleep (Hinton et al., 1995) on the model and encoder of Kingma & Welling (2014), §5, as they compare it.

    Awake the decoder learns from z ~ q(z|x); asleep the encoder learns from the model's own (x, z): it follows
    KL(p(z|x) ‖ q(z|x)), not the ELBO, which is what is reported.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.wake_sleep(elbox.DataSpec((784,), "binary")).estimator.arguments
        {'wake': 0.0, 'sleep': 1.0}
    """
    return replace(vae(data, latent, hidden, activation, likelihood), objective=ELBO(), estimator=WakeSleep())


@recipe
def reweighted_wake_sleep(
    data: DataSpec,
    latent: int = 20,
    samples: int = 5,
    hidden: Sequence[int] = (500,),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
    wake: float = 0.5,
    sleep: float = 0.5,
) -> Recipe:
    r"""Reweighted wake–sleep (Bornschein & Bengio, 2015) with the networks of `wake_sleep`.

    The decoder follows the gradient of the importance-weighted bound, the encoder a mean of its wake- and sleep-phase
    updates. There the latent variables are binary, here normal.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        samples: Number K of importance samples.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        wake: Weight of the encoder's update at the data.
        sleep: Weight of the encoder's update at examples that the model dreams.

    Example:
        >>> import elbox
        >>> elbox.recipes.reweighted_wake_sleep(elbox.DataSpec((784,), "binary")).objective.samples
        5
    """
    base = vae(data, latent, hidden, activation, likelihood)
    return replace(base, objective=IWAE(samples), estimator=ReweightedWakeSleep(wake, sleep))


@recipe
def mcem(
    data: DataSpec,
    latent: int = 3,
    hidden: Sequence[int] = (100,),
    activation: type[nn.Module] = nn.Tanh,
    likelihood: type[Likelihood] | None = None,
    leapfrogs: int = 10,
    acceptance: float = 0.9,
) -> Recipe:
    r"""Monte-Carlo EM with Hamiltonian Monte Carlo, as in Kingma & Welling (2014), appendix E and figure 3.

    The decoder learns from samples of the posterior itself. The encoder, which they do not have, only starts the chains
    and is what the model is evaluated with; it learns from their ends.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        leapfrogs: Leapfrog steps for each batch.
        acceptance: Rate of acceptance that the step size is adapted to.

    Example:
        >>> import elbox
        >>> elbox.recipes.mcem(elbox.DataSpec((784,), "binary")).estimator.leapfrogs
        10
    """
    base = vae(data, latent, hidden, activation, likelihood)
    return replace(base, objective=ELBO(), estimator=MonteCarloEM(leapfrogs, acceptance=acceptance))


@recipe
def local_vi(
    data: DataSpec,
    latent: int = 20,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    steps: int = 20,
    lr: float = 0.3,
) -> Recipe:
    r"""Variational EM without an encoder: q(z|x) = N(μ_x, diag σ_x²) is optimised for each example, in `steps` steps.

    Stochastic variational inference (Hoffman et al., 2013, §2.2) for the model of Kingma & Welling (2014): no
    amortisation gap, and `steps` times the work.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        hidden: Widths of the decoder's hidden layers in reverse, as for `vae`.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        steps: Number of Adam steps on each example's μ and log σ.
        lr: Size of the first of these steps.

    Example:
        >>> import elbox, torch
        >>> elbox.recipes.local_vi(elbox.DataSpec((5,), "binary"), latent=2).model.encode(torch.ones(3, 5)).mean.shape
        torch.Size([3, 2])
    """
    cls = default_likelihood(data, likelihood)
    prior = StandardNormal(latent)
    decoder = cls.for_data(MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation), data)
    return Recipe(VAE(prior, decoder, LocalNormal(prior, decoder, latent, steps, lr)), ELBO(), AnalyticKL())
