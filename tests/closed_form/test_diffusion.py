"""The diffusion prior where everything is known: of normal data the best denoiser is linear."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

from elbox.priors import Diffusion, Standardized, StandardNormal
from elbox.priors.diffusion import WAVES

MEAN = torch.tensor([0.5, -1.0], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.5, 0.6], [0.6, 0.4]], dtype=torch.float64)
RIGHT = MultivariateNormal(MEAN, COVARIANCE)


class OfNormal(nn.Module):
    """E[v | z_φ] for z ~ N(m, C): v and z_φ are jointly normal, with Cov(v, z_φ) = sin φ cos φ (I − C)."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.covariance = nn.Parameter(MEAN.clone()), nn.Parameter(COVARIANCE.clone())

    def forward(self, h: Tensor) -> Tensor:
        z, cos, sin = h[..., :2], h[..., 2:3], h[..., 2 + WAVES : 3 + WAVES]
        eye = torch.eye(2).to(z)
        spread = cos[..., None] ** 2 * self.covariance + sin[..., None] ** 2 * eye
        cross = (sin * cos)[..., None] * (eye - self.covariance)
        slope = torch.linalg.solve(spread, (z - cos * self.mean)[..., None])
        return -sin * self.mean + (cross @ slope)[..., 0]


def of_normal(**settings: object) -> Diffusion:
    prior = Diffusion(2, hidden=(4,), **{"tolerance": 1e-6} | settings).double()
    prior.velocity.net = OfNormal()
    return prior


@pytest.fixture
def mixed() -> Diffusion:
    """Any network has a density."""
    torch.manual_seed(0)
    prior = Diffusion(2, hidden=(8,), tolerance=1e-6).double()
    with torch.no_grad():
        for p in prior.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return prior


def test_untrained_it_is_standard_normal() -> None:
    z = torch.randn(7, 2)
    torch.testing.assert_close(Diffusion(2)().log_prob(z), StandardNormal(2)().log_prob(z), rtol=0, atol=1e-5)


def test_density_of_the_best_denoiser_of_normal_data_is_normal() -> None:
    z = RIGHT.sample((50,)) * 2
    torch.testing.assert_close(of_normal()().log_prob(z), RIGHT.log_prob(z), rtol=0, atol=1e-4)


def test_density_along_random_directions_is_unbiased() -> None:
    """Skilling and Hutchinson's estimate of the divergence, 10⁴ times."""
    torch.manual_seed(0)
    z = torch.tensor([[0.3, -0.8]], dtype=torch.float64).expand(10_000, 2)
    with torch.no_grad():
        found = of_normal(exact=False)().log_prob(z)
    assert found.std() > 0.01
    assert abs(found.mean() - RIGHT.log_prob(z[0])) < 4 * found.std() / 100


def test_density_integrates_to_one(mixed: Diffusion) -> None:
    axis = torch.linspace(-9, 9, 91, dtype=torch.float64)
    with torch.no_grad():
        found = mixed().log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * (axis[1] - axis[0]) ** 2
    assert found.item() == pytest.approx(1.0, abs=1e-4)


def test_density_is_the_same_with_and_without_gradients(mixed: Diffusion) -> None:
    """Without them it is taken in parts."""
    z = torch.randn(3, 5, 2).double()
    with torch.no_grad():
        found = mixed().log_prob(z)
    torch.testing.assert_close(found, mixed().log_prob(z).detach(), rtol=0, atol=1e-4)
    assert found.shape == (3, 5)
    with torch.no_grad():
        torch.testing.assert_close(mixed().log_prob(z[0, 0]), found[0, 0], rtol=0, atol=1e-4)


def test_draws_have_the_density_that_is_stated(mixed: Diffusion) -> None:
    """E[f(z) / p(z)] over draws is ∫ f for any f with mass where p has it: here f = N(0, ½ I)."""
    torch.manual_seed(1)
    with torch.no_grad():
        p = mixed()
        z = p.sample((5000,))
        weights = (Normal(0.0, 0.5**0.5).log_prob(z).sum(-1) - p.log_prob(z)).exp()
    assert abs(weights.mean() - 1) < 4 * weights.std() / math.sqrt(len(z))


def test_gradient_in_weights_and_codes(mixed: Diffusion) -> None:
    """Against finite differences of the density itself."""
    mixed.tolerance = 1e-9
    z = torch.tensor([[0.4, -0.3]], dtype=torch.float64, requires_grad=True)
    weight = mixed.velocity.net.net[-1].bias
    slopes = torch.autograd.grad(mixed().log_prob(z).sum(), [z, weight])
    for value, slope in zip((z, weight), slopes, strict=True):
        for i in range(2):
            ends = []
            for h in (1e-4, -1e-4):
                with torch.no_grad():
                    value.view(-1)[i] += h
                    ends.append(mixed().log_prob(z).item())
                    value.view(-1)[i] -= h
            assert slope.view(-1)[i].item() == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-4)


@pytest.mark.parametrize(
    "settings", [{}, {"steps": 100}, {"steps": 200, "noise": 1.0}, {"steps": 100, "noise": 0.5}], ids=str
)
def test_every_sampler_draws_normal_data(settings: dict[str, float]) -> None:
    torch.manual_seed(2)
    z = of_normal(tolerance=1e-4, **settings)().sample((20_000,))
    se = COVARIANCE.diagonal().sqrt() / math.sqrt(len(z))
    slack = 0.0 if not settings else 5 / settings["steps"]  # a step leaves out what is of the order of its square
    assert ((z.mean(0) - MEAN).abs() < 4 * se + slack).all()
    torch.testing.assert_close(z.T.cov(), COVARIANCE, rtol=0.05 + slack, atol=0.01)


def test_ancestral_steps_are_those_of_ddpm() -> None:
    """η = 1 gives q(z_s | z_t, ẑ): Ho et al. (2020), eq. 6 and 7, with ᾱ = cos² φ."""
    torch.manual_seed(3)
    prior, z = of_normal(steps=2, noise=1.0), torch.randn(100_000, 1, 2).double()[:, 0] * 0 + 0.7
    angle, after = torch.tensor(1.1).double(), torch.tensor(0.6).double()
    new = prior()._step(z, angle, after)
    clean = angle.cos() * z[0] - angle.sin() * prior.velocity(angle, z[:1])[0]
    before, now = after.cos() ** 2, angle.cos() ** 2
    beta = 1 - now / before
    mean = before.sqrt() * beta / (1 - now) * clean + (now / before).sqrt() * (1 - before) / (1 - now) * z[0]
    variance = (1 - before) / (1 - now) * beta
    assert ((new.mean(0) - mean).abs() < 4 * (variance / len(new)).sqrt()).all()
    torch.testing.assert_close(new.var(0), variance.expand(2), rtol=0.02, atol=0)


def test_loss_of_the_best_denoiser_is_least() -> None:
    """E‖v − v̂‖² at its minimum is the mean of tr Var(v | z_φ) over angles: known for normal data."""
    torch.manual_seed(4)
    best, z = of_normal(), RIGHT.sample((50_000,))
    found = best.loss(z)
    angles = torch.linspace(0, math.pi / 2, 2001, dtype=torch.float64)
    cos, sin, eye = angles.cos()[:, None, None], angles.sin()[:, None, None], torch.eye(2, dtype=torch.float64)
    of_v, of_z = cos**2 * eye + sin**2 * COVARIANCE, cos**2 * COVARIANCE + sin**2 * eye
    cross = sin * cos * (eye - COVARIANCE)
    left = (of_v - cross @ torch.linalg.solve(of_z, cross)).diagonal(dim1=1, dim2=2).sum(-1)
    assert abs(found.mean() - torch.trapezoid(left, angles) / (math.pi / 2)) < 4 * found.std() / math.sqrt(len(z))
    assert Diffusion(2).double().loss(z).mean() > found.mean() + 0.1


def test_weighted_by_likelihood_the_loss_is_a_bound_and_nearly_the_entropy() -> None:
    """With the best denoiser, −E log p ≤ bound, and both differ by what the noise sin φ₀ leaves open."""
    torch.manual_seed(5)
    z = RIGHT.sample((100_000,))
    found, se = {}, {}
    for floor in (0.3, 0.01):
        values = of_normal(floor=floor).loss(z)
        found[floor], se[floor] = values.mean().item(), values.std().item() / math.sqrt(len(z))
    entropy = RIGHT.entropy().item()
    assert found[0.3] > entropy + 4 * se[0.3]
    assert abs(found[0.01] - entropy) < 4 * se[0.01] + 0.01
    worse = Diffusion(2, hidden=(4,), floor=0.01).double().loss(z)
    cross = -StandardNormal(2).double()().log_prob(z).mean().item()  # an untrained network is the denoiser of N(0, I)
    assert abs(worse.mean().item() - cross) < 4 * worse.std().item() / math.sqrt(len(z)) + 0.01


def test_it_learns_two_clusters() -> None:
    torch.manual_seed(6)
    means = torch.tensor([[6.0, 0.0], [10.0, 3.0]])
    data = MixtureSameFamily(Categorical(torch.ones(2)), MultivariateNormal(means, 0.2 * torch.eye(2)))
    prior = Standardized(Diffusion(2, hidden=(64, 64), tolerance=1e-4), 2)
    prior.start(torch.empty(0), lambda: data.sample((5000,)))
    optimizer = torch.optim.Adam(prior.parameters(), 3e-3)
    for _ in range(1000):
        loss = prior.loss(data.sample((256,))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z = data.sample((1000,))
    with torch.no_grad():
        gap = (data.log_prob(z) - prior().log_prob(z)).mean()
        drawn = prior().sample((2000,))
    assert -0.02 < gap < 0.15  # nats; the normal distribution of the same moments is 1.0 away
    near = (drawn - means[0]).norm(dim=-1) < (drawn - means[1]).norm(dim=-1)
    assert near.float().mean() == pytest.approx(0.5, abs=0.06)
