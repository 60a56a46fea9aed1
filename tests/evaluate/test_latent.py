"""Codes and walks in latent space, on models in which they are known."""

from __future__ import annotations

import math

import pytest
import torch

from elbox import VAE, DataSpec, IncompatibleError, SettingError, ShapeError, recipes
from elbox.evaluate import decode, encode, interpolate, manifold, most_active, traverse
from elbox.likelihoods import FixedGaussian
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal
from elbox.priors import NormalMixture, StandardNormal
from tests.evaluate.toys import Undescribed, learned_normal, set_affine, two_of_five


def identity(prior: torch.nn.Module | None = None) -> VAE:
    """x = z and z = x in two dimensions."""
    encoder, decoder = MLP(2, [], (2, 2)), MLP(2, [], 2)
    set_affine(encoder, torch.stack([torch.eye(2), torch.zeros(2, 2)]), torch.zeros(2, 2))
    set_affine(decoder, torch.eye(2), torch.zeros(2))
    return VAE(prior or StandardNormal(2), FixedGaussian(decoder), DiagonalNormal(encoder, 2))


@pytest.mark.parametrize("memory", [2**28, 1])
def test_codes_and_decoded_codes_are_those_of_the_model(memory: int) -> None:
    model = recipes.conv_vae(DataSpec((1, 9, 8), "levels", levels=17), latent=3).model
    x = torch.randint(17, (7, 1, 9, 8), dtype=torch.uint8)
    z = encode(model, x, memory=memory)
    with torch.no_grad():
        torch.testing.assert_close(z, model.encode(x.float()).mean)
        torch.testing.assert_close(decode(model, z, memory=memory), model.reconstruct(x.float()), rtol=1e-4, atol=1e-4)


def test_codes_of_a_posterior_without_a_known_mean_are_near_it() -> None:
    model, x = two_of_five(), torch.randn(200, 6)
    exact = encode(model, x)
    model.posterior = Undescribed(model.posterior)
    error = encode(model, x) - exact
    assert float(error.std()) == pytest.approx(0.1, rel=0.2)  # of 100 draws with σ = 1
    torch.testing.assert_close(encode(model, x) - exact, error)


def test_a_straight_line_from_reconstruction_to_reconstruction() -> None:
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.0])
    path = interpolate(identity(), a, b, steps=5)
    torch.testing.assert_close(path, torch.stack([a, (3 * a + b) / 4, (a + b) / 2, (a + 3 * b) / 4, b]))


def test_the_ends_of_any_walk_are_the_reconstructions() -> None:
    model = recipes.ae(DataSpec((5,), "binary"), latent=3, hidden=(4,)).model
    a, b = torch.ones(5), torch.zeros(5)
    for spherical in (False, True):
        path = interpolate(model, a, b, 4, spherical=spherical)
        with torch.no_grad():
            torch.testing.assert_close(path[[0, -1]], model.reconstruct(torch.stack([a, b])))


def test_the_great_circle_keeps_the_length_and_goes_at_constant_speed() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    path = interpolate(identity(), a, b, steps=7, spherical=True)
    torch.testing.assert_close(path.norm(dim=1), torch.full((7,), 2.0))
    angles = torch.atan2(path[:, 1], path[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, math.pi / 2, 7))


@pytest.mark.parametrize("b", [[2.0, 0.0], [-2.0, 0.0], [0.0, 0.0]], ids=["same", "opposite", "zero"])
def test_where_there_is_no_great_circle_it_is_the_straight_line(b: list[float]) -> None:
    ends = torch.tensor([2.0, 0.0]), torch.tensor(b)
    torch.testing.assert_close(interpolate(identity(), *ends, spherical=True), interpolate(identity(), *ends))


def test_a_traversal_sets_one_dimension_and_leaves_the_others() -> None:
    path = traverse(identity(), torch.tensor([5.0, 7.0]), 1, [-2, 0, 2])
    assert path.tolist() == [[5, -2], [5, 0], [5, 2]]


def test_the_manifold_is_laid_out_like_a_plot() -> None:
    grid = manifold(identity(), 3)
    q = StandardNormal(1)().base_dist.icdf(torch.tensor([1 / 6, 1 / 2, 5 / 6])).tolist()
    assert grid[0, :, 0].tolist() == pytest.approx(q, abs=1e-6)  # z_1 to the right
    assert grid[:, 0, 1].tolist() == pytest.approx(q[::-1], abs=1e-6)  # z_2 upwards
    assert grid.shape == (3, 3, 2)


def test_the_manifold_follows_the_prior() -> None:
    prior = learned_normal()
    grid = manifold(identity(prior), 5)
    with torch.no_grad():
        torch.testing.assert_close(grid[2, 2], prior.mean)
        expected = torch.distributions.Normal(prior().mean, prior().stddev).icdf(torch.tensor(0.1))
    torch.testing.assert_close(torch.stack([grid[4, 0, 0], grid[4, 0, 1]]), expected)


def test_the_manifold_of_a_prior_without_known_quantiles() -> None:
    prior = NormalMixture(2, 3)
    grid = manifold(identity(prior), 4)
    with torch.no_grad():
        z = prior().sample((200_000,))
    below = (z[:, 0, None] < grid[0, :, 0]).float().mean(0)
    torch.testing.assert_close(below, torch.tensor([1, 3, 5, 7]) / 8, atol=0.01, rtol=0)


def test_the_most_active_dimensions_come_first() -> None:
    x = torch.randn(100, 6)
    assert most_active(two_of_five(), x, 2) == [4, 1]
    assert len(most_active(two_of_five(), x)) == 5


def test_mistakes_are_named() -> None:
    model = two_of_five()
    with pytest.raises(IncompatibleError, match="2 latent dimensions"):
        manifold(model)
    with pytest.raises(IncompatibleError, match="no prior"):
        manifold(recipes.ae(DataSpec((5,), "binary"), latent=2).model)
    with pytest.raises(SettingError, match="from 0 to 4"):
        traverse(model, torch.ones(6), 5, [0.0])
    with pytest.raises(SettingError, match="steps=1"):
        interpolate(model, torch.ones(6), torch.ones(6), steps=1)
    with pytest.raises(ShapeError, match="at least two"):
        most_active(model, torch.ones(1, 6))
    with pytest.raises(ShapeError, match="at least one row"):
        encode(model, torch.ones(0, 6))
