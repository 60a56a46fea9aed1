"""Models whose latent space is not flat: evaluation, codes and what is said of single coordinates."""

from __future__ import annotations

import pytest
import torch

import elbox
from elbox import IncompatibleError
from elbox.evaluate import encode, interpolate, traverse
from elbox.posteriors import VonMisesFisher
from elbox.priors import SphericalUniform, StandardNormal
from tests.components import BINARY, make, small

SPHERES = {"vmf_vae": {"latent": 6, "spheres": 2}, "power_spherical_vae": {"latent": 6, "spheres": 2}}
RECIPES = SPHERES | {"poincare_vae": {"latent": 3}}


def images(n: int = 40) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.rand(n, *BINARY.event_shape).round()


@pytest.mark.parametrize("name", RECIPES)
def test_evaluation(name: str) -> None:
    """A bound and a likelihood; a rate for each sphere; of coordinates nothing is said to be active."""
    model = small(name, **RECIPES[name]).model
    result = elbox.evaluate(model, images(), samples=20)
    assert result.log_likelihood.mean >= result.elbo.mean
    assert result.active_units is None
    assert result.variance_of_means == ()
    assert result.mutual_information is None
    if name in SPHERES:
        each = result.rate_per_dimension
        assert sum(each) == pytest.approx(result.rate.mean, rel=1e-5)
        assert each[:3] == pytest.approx([each[0]] * 3)  # shared out evenly over a sphere's coordinates
        assert result.closed_form
    else:
        assert result.rate_per_dimension == ()


@pytest.mark.parametrize("name", RECIPES)
def test_codes_lie_in_the_space(name: str) -> None:
    model, x = small(name, **RECIPES[name]).model, images(5)
    codes = encode(model, x)
    assert model.prior().support.check(codes).all()
    assert interpolate(model, x[0], x[1], steps=3, spherical=True).shape == (3, *BINARY.event_shape)
    assert traverse(model, x[0], 1, [-0.2, 0.2]).shape == (2, *BINARY.event_shape)
    assert model.reconstruct(x).shape == x.shape


def test_what_does_not_fit_is_refused() -> None:
    x = torch.randn(3, 5)

    def train(prior: torch.nn.Module, posterior: torch.nn.Module) -> None:
        elbox.Reparameterized()(elbox.VAE(prior, make("likelihoods.Gaussian"), posterior), x, elbox.ELBO())

    normal, sphere = make("posteriors.DiagonalNormal"), make("posteriors.VonMisesFisher")
    with pytest.raises(IncompatibleError, match=r"VonMisesFisher posterior over the sphere S\^1 .*; use a Spherical"):
        train(StandardNormal(2), sphere)
    with pytest.raises(IncompatibleError, match=r"over the sphere S\^1; .*; use a StandardNormal prior"):
        train(SphericalUniform(2), normal)
    with pytest.raises(IncompatibleError, match=r"over the sphere S\^1; .*; use a StandardNormal prior"):
        train(SphericalUniform(2), make_flow())
    two = VonMisesFisher(elbox.nn.MLP(5, [], (2, 3)), 4, spheres=2)
    with pytest.raises(IncompatibleError, match=r"a product of 2 spheres S\^1 with .* over the sphere S\^3"):
        elbox.Reparameterized()(
            elbox.VAE(SphericalUniform(4), elbox.likelihoods.Gaussian(elbox.nn.MLP(4, [], 5)), two), x, elbox.ELBO()
        )


def make_flow() -> torch.nn.Module:
    import zuko

    return zuko.flows.MAF(2, 5, transforms=1, hidden_features=(4,))


def test_sizes_of_spheres() -> None:
    for latent, spheres in ((3, 2), (2, 2), (5, 3)):
        with pytest.raises(elbox.errors.SettingError, match=r"expected as many numbers for each sphere, 2 or more"):
            SphericalUniform(latent, spheres)
        with pytest.raises(elbox.errors.SettingError, match=r"expected as many numbers for each sphere, 2 or more"):
            VonMisesFisher(torch.nn.Identity(), latent, spheres)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_recorded_step_is_the_plain_one(name: str) -> None:
    """The training step is noted and compiled as one graph, a learned curvature included."""
    from elbox.record import record
    from elbox.train.step import Step

    made = make(f"recipes.{name}")
    step, x = Step(made.model, made.objective, made.estimator), images(8)

    def losses(x: torch.Tensor) -> list[torch.Tensor]:
        loss, *_ = step(x)
        return [loss, *torch.autograd.grad(loss, list(step.parameters()))]

    torch.manual_seed(3)
    plain = losses(x)
    recorded = record(losses, list(step.parameters()), [x])
    torch.manual_seed(3)
    for a, b in zip(recorded(x), plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
