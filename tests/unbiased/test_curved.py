"""Latent spaces that are not flat × objective × estimator: unbiased in all parameters, or refused with a way out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from elbox import ELBO, IWAE, VAE, AnalyticKL, IncompatibleError, Path, Reparameterized, Score, posteriors, priors
from elbox.estimators import Estimator
from elbox.likelihoods import Gaussian
from elbox.nn import MLP, Front, PoincareBall
from tests.closed_form.test_hyperbolic import disc
from tests.unbiased import exact
from tests.unbiased.exact import Gradient, Grid, gradient
from tests.unbiased.models import FEATURES, batch, encoder, shaken
from tests.unbiased.sampled import agree

OBJECTIVES = {"ELBO": (ELBO(samples=2), exact.elbo()), "IWAE": (IWAE(2), exact.renyi(0.0, 2))}
ESTIMATORS: dict[str, Estimator] = {e.__name__: e() for e in (Reparameterized, AnalyticKL, Path, Score)}


def on_circle(name: str) -> Callable[[], VAE]:
    def make() -> VAE:
        posterior = getattr(posteriors, name)(encoder(1, 3), 2, least=0.2)
        likelihood = Gaussian(MLP(2, [3], FEATURES, nn.Tanh), offset=0.2, scale=1.3)
        return VAE(priors.SphericalUniform(2).double(), shaken(likelihood, 0.5), shaken(posterior))

    return make


def on_ball(name: str) -> Callable[[], VAE]:
    """The curvature is learned; a wide Riemannian prior depends on it so much that its gradient is measured well."""

    def make() -> VAE:
        ball = PoincareBall(0.8, learned=True)
        outputs = getattr(posteriors, name).output_shape(2)
        posterior = getattr(posteriors, name)(encoder(*outputs), 2, ball)
        likelihood = Gaussian(Front(ball, MLP(2, [3], FEATURES, nn.Tanh)), offset=0.2, scale=1.3)
        vae = VAE(priors.RiemannianNormal(2, ball, 3.0), likelihood, posterior)
        return shaken(vae)  # type: ignore[return-value]

    return make


def circle(n: int = 400) -> Grid:
    angle = torch.arange(n).double() / n * 2 * math.pi
    return Grid(torch.stack([angle.cos(), angle.sin()], -1), 2 * math.pi / n)


def ball_grid(c: float) -> Grid:
    z, area = disc(c, rings=64, turns=64, reach=12.0)
    return Grid(z, area[:, None])  # type: ignore[arg-type]


MODELS: dict[str, Callable[[], VAE]] = {
    **{name: on_circle(name) for name in ("VonMisesFisher", "PowerSpherical")},
    **{name: on_ball(name) for name in ("WrappedNormal", "RiemannianNormal")},
}


@functools.cache
def model(name: str) -> VAE:
    torch.manual_seed(1)
    return MODELS[name]()


@functools.cache
def exact_gradient(name: str, objective: str) -> Gradient:
    vae, x = model(name), batch()
    flat = "Normal" not in name
    grid = circle() if flat else ball_grid(float(vae.posterior.ball.curvature.detach()))
    return gradient(vae, exact.mean(OBJECTIVES[objective][1], exact.nodes(vae, x, grid)))


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", MODELS)
def test_every_pair(name: str, objective: str, estimator: str) -> None:
    """The mean gradient over thousands of draws is the exact one: a learned curvature's too, with Path and Score."""
    vae, how, goal = model(name), ESTIMATORS[estimator], OBJECTIVES[objective][0]
    if estimator == "AnalyticKL" and (objective == "IWAE" or "Normal" in name):
        with pytest.raises(IncompatibleError, match="; use "):
            how(vae, batch(), goal)
        return
    agree(exact_gradient(name, objective), how, vae, goal, batch())


def test_curvature_is_among_the_parameters() -> None:
    found: dict[str, Tensor] = exact_gradient("WrappedNormal", "ELBO")
    assert any(n.endswith("ball.raw") and g.abs() > 1e-3 for n, g in found.items())
