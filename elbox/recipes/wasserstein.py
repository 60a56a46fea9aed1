"""Autoencoders whose aggregated posterior is pulled to the prior by a distance of samples."""

from __future__ import annotations

__all__ = ["info_vae", "swae", "wae_mmd"]

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from elbox.errors import SettingError
from elbox.estimators import Reparameterized
from elbox.kernels import RBF
from elbox.likelihoods.base import Likelihood
from elbox.objectives import ELBO, MMD, Distortion, Penalized, SlicedWasserstein
from elbox.priors import StandardNormal
from elbox.recipes.autoencoders import ae, with_prior
from elbox.recipes.base import Recipe, recipe
from elbox.recipes.gaussian import vae
from elbox.schedules import Schedule
from elbox.spec import DataSpec


@recipe
def info_vae(
    data: DataSpec,
    latent: int = 10,
    alpha: float = 0.0,
    scale: float = 1000.0,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""InfoVAE (Zhao et al., 2019): E_q[log p(x|z)] − (1 − α) rate − (α + λ − 1) MMD²(q(z), p(z)).

    α = 0, λ = 1 is the ELBO; α = 1 is the MMD-VAE, which leaves the rate free. The kernel is `RBF()`.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        alpha: α ≤ 1, how much of the rate is taken off: the preference for information in the code.
        scale: λ ≥ 1 − α, the weight of the distance of q(z) from p(z).
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> r = elbox.recipes.info_vae(elbox.DataSpec((5,), "binary"), alpha=0.5, scale=100.0)
        >>> r.objective.objective.beta, r.objective.penalties[0].weight
        (0.5, 99.5)
    """
    if alpha > 1 or alpha + scale < 1:
        raise SettingError(f"got alpha={alpha}, scale={scale}; expected alpha ≤ 1 and alpha + scale ≥ 1")
    objective = Penalized(ELBO(beta=1.0 - alpha), [MMD(alpha + scale - 1.0, RBF())])
    return replace(vae(data, latent, hidden, activation, likelihood), objective=objective)


@recipe
def wae_mmd(
    data: DataSpec,
    latent: int = 8,
    weight: float | Schedule = 10.0,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""WAE-MMD (Tolstikhin et al., 2018, eq. 4, algorithm 2): a deterministic code, distortion + λ MMD²(q(z), p(z)).

    p(z) = N(0, I), λ = 10 and the inverse multiquadratic kernel are the paper's, which the authors' code sums over
    seven scales, as `InverseMultiquadric` does (and weighs the cost by 0.05). The paper's cost is the squared error,
    that of the likelihood `FixedGaussian` but for constants; here it is the distortion under the default for the kind
    of data, in nats, which fits them whatever their unit, and against which λ is to be judged. There is no bound on log
    p(x), but the model can be sampled.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        weight: λ ≥ 0, a number or a schedule.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.wae_mmd(elbox.DataSpec((5,), "binary")).model.sample(4).shape
        torch.Size([4, 5])
    """
    model = with_prior(ae(data, latent, hidden, activation, likelihood), StandardNormal(latent))
    return Recipe(model, Penalized(Distortion(), [MMD(weight)]), Reparameterized())


@recipe
def swae(
    data: DataSpec,
    latent: int = 8,
    weight: float | Schedule | None = None,
    projections: int = 50,
    hidden: Sequence[int] = (400,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""Sliced-Wasserstein autoencoder (Kolouri et al., 2018): a deterministic code, distortion + λ SW₂²(q(z), p(z)).

    p(z) = N(0, I); the distortion is that of the default likelihood for the kind of data, as in `wae_mmd`. λ and L are
    those of the authors' published code, whose λ = 10 stands beside a mean over pixels, hence 10 D beside their sum;
    their reconstruction has an absolute error too, which is left out.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension of z.
        weight: λ ≥ 0, a number or a schedule; None takes 10 for each dimension of the data.
        projections: Number L of random directions in each step.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.swae(elbox.DataSpec((5,), "binary")).model.sample(4).shape
        torch.Size([4, 5])
    """
    model = with_prior(ae(data, latent, hidden, activation, likelihood), StandardNormal(latent))
    penalty = SlicedWasserstein(10.0 * data.dims if weight is None else weight, projections)
    return Recipe(model, Penalized(Distortion(), [penalty]), Reparameterized())
