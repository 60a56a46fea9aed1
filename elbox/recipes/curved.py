"""Variational autoencoders whose latent space is not flat: spheres, and the Poincaré ball."""

from __future__ import annotations

__all__ = ["poincare_vae", "power_spherical_vae", "vmf_vae"]

from collections.abc import Sequence

from torch import nn

from elbox.estimators import AnalyticKL, Path
from elbox.likelihoods.base import Likelihood
from elbox.model import VAE
from elbox.nn import MLP, Front, Gyroplanes, PoincareBall
from elbox.objectives import ELBO
from elbox.posteriors import PowerSpherical, VonMisesFisher, WrappedNormal
from elbox.priors import SphericalUniform
from elbox.priors import WrappedNormal as WrappedPrior
from elbox.recipes.base import Recipe, default_likelihood, recipe
from elbox.spec import DataSpec


@recipe
def vmf_vae(
    data: DataSpec,
    latent: int = 6,
    spheres: int = 1,
    hidden: Sequence[int] = (256, 128),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""The hyperspherical VAE (Davidson et al., 2018): q(z|x) = vMF(μ(x), κ(x)), p(z) uniform on the sphere.

    784-256-128 and κ = softplus(h) + 1 as in the authors' code, KL in closed form. Compare S^k, which takes latent =
    k + 1 numbers, with a normal VAE of k dimensions, as they do. Several small spheres (Davidson, Tomczak & Gavves,
    2019) have a concentration each.

    Arguments:
        data: Shape and kind of the data.
        latent: Numbers of z, 6 for S^5; a sphere S^k takes k + 1 of them.
        spheres: Number of spheres; divides `latent`.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> r = elbox.recipes.vmf_vae(elbox.DataSpec((5,), "binary"), latent=3)
        >>> r.model.prior().sample().norm()
        tensor(1.0000)
    """
    return _spherical(VonMisesFisher, data, latent, spheres, hidden, activation, likelihood)


@recipe
def power_spherical_vae(
    data: DataSpec,
    latent: int = 6,
    spheres: int = 1,
    hidden: Sequence[int] = (256, 128),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
) -> Recipe:
    r"""`vmf_vae` with power spherical posteriors (De Cao & Aziz, 2020): drawn without rejection.

    Arguments:
        data: Shape and kind of the data.
        latent: Numbers of z; a sphere S^k takes k + 1 of them.
        spheres: Number of spheres; divides `latent`.
        hidden: Widths of the encoder's hidden layers; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.

    Example:
        >>> import elbox
        >>> elbox.recipes.power_spherical_vae(elbox.DataSpec((5,), "binary"), latent=6, spheres=2).model.sample(3).shape
        torch.Size([3, 5])
    """
    return _spherical(PowerSpherical, data, latent, spheres, hidden, activation, likelihood)


@recipe
def poincare_vae(
    data: DataSpec,
    latent: int = 5,
    curvature: float = 0.7,
    hidden: Sequence[int] = (600,),
    activation: type[nn.Module] = nn.ReLU,
    likelihood: type[Likelihood] | None = None,
    *,
    learned: bool = False,
) -> Recipe:
    r"""The Poincaré VAE (Mathieu et al., 2019): wrapped normal posterior and prior, gyroplanes first in the decoder.

    784-600, curvature 0.7 as in the authors' command for MNIST.

    Arguments:
        data: Shape and kind of the data.
        latent: Dimension ≥ 2 of z.
        curvature: c > 0: the space has curvature −c.
        hidden: Widths of the encoder's hidden layers, at least one; the decoder mirrors them.
        activation: Non-linearity.
        likelihood: Class of the likelihood; None takes the default for the kind of data.
        learned: Learn the curvature, from that value on.

    Example:
        >>> import elbox
        >>> r = elbox.recipes.poincare_vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> bool(0.7 * r.model.prior().sample().square().sum() < 1)
        True
    """
    cls, widths = default_likelihood(data, likelihood), list(hidden)[::-1]
    ball = PoincareBall(curvature, learned=learned)
    encoder = MLP(
        data.event_shape, hidden, WrappedNormal.output_shape(latent), activation, offset=data.offset, scale=data.scale
    )
    rest = MLP(widths[0], widths[1:], cls.output_shape(data), activation)
    decoder = Front(Gyroplanes(latent, widths[0], ball, activation), rest)
    model = VAE(WrappedPrior(latent, ball), cls.for_data(decoder, data), WrappedNormal(encoder, latent, ball))
    return Recipe(model, ELBO(), Path())


def _spherical(
    posterior: type[VonMisesFisher | PowerSpherical],
    data: DataSpec,
    latent: int,
    spheres: int,
    hidden: Sequence[int],
    activation: type[nn.Module],
    likelihood: type[Likelihood] | None,
) -> Recipe:
    cls = default_likelihood(data, likelihood)
    outputs = posterior.output_shape(latent, spheres)
    encoder = MLP(data.event_shape, hidden, outputs, activation, offset=data.offset, scale=data.scale)
    decoder = cls.for_data(MLP(latent, list(hidden)[::-1], cls.output_shape(data), activation), data)
    return Recipe(
        VAE(SphericalUniform(latent, spheres), decoder, posterior(encoder, latent, spheres)), ELBO(), AnalyticKL()
    )
