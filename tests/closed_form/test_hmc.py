"""Hamiltonian Monte Carlo: its dynamics against mechanics, its samples against known moments."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from elbox.hmc import Field, adapted, field_of, hmc, leapfrog

COVARIANCE = torch.tensor([[1.0, 0.6, 0.0], [0.6, 0.8, -0.3], [0.0, -0.3, 0.5]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
NORMAL = torch.distributions.MultivariateNormal(MEAN, COVARIANCE)
BEND, WIDTH = 0.5, 0.5


def banana(z: Tensor) -> Tensor:
    """log p of z_1 ~ N(0, 1), z_2 | z_1 ~ N(½ (z_1² − 1), ½²), up to a constant."""
    return -0.5 * z[..., 0].square() - 0.5 * ((z[..., 1] - BEND * (z[..., 0].square() - 1)) / WIDTH).square()


def banana_field(z: Tensor) -> tuple[Tensor, Tensor]:
    """The same with its gradient written out, so that it can be differentiated."""
    off = (z[..., 1] - BEND * (z[..., 0].square() - 1)) / WIDTH**2
    return banana(z), torch.stack([-z[..., 0] + 2 * BEND * z[..., 0] * off, -off], -1)


def energy(field: Field, z: Tensor, momentum: Tensor) -> Tensor:
    return -field(z)[0] + 0.5 * momentum.square().sum(-1)


def start(n: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(n, 2, dtype=torch.float64), torch.randn(n, 2, dtype=torch.float64)


def test_gradient_by_autograd_is_the_one_written_out() -> None:
    z, _ = start(7)
    torch.testing.assert_close(field_of(banana)(z), banana_field(z))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_leapfrog_preserves_volume(steps: int) -> None:
    """det ∂(z', ρ') / ∂(z, ρ) = 1, for any step size."""
    z, momentum = start()

    def flow(state: Tensor) -> Tensor:
        end, after, _, _ = leapfrog(banana_field, state[:2], state[2:], banana_field(state[:2])[1], 0.2, steps)
        return torch.cat([end, after])

    jacobian = torch.autograd.functional.jacobian(flow, torch.cat([z[0], momentum[0]]))
    assert (jacobian - torch.eye(4)).abs().max() > 0.1
    torch.testing.assert_close(torch.linalg.det(jacobian), torch.ones((), dtype=torch.float64))


def test_leapfrog_is_reversible() -> None:
    z, momentum = start(5)
    field = field_of(banana)
    end, after, log_p, slope = leapfrog(field, z, momentum, field(z)[1], 0.1, 10)
    torch.testing.assert_close((log_p, slope), field(end))
    assert (end - z).abs().max() > 0.1
    back, before, _, _ = leapfrog(field, end, -after, slope, 0.1, 10)
    torch.testing.assert_close((back, -before), (z, momentum))


def test_energy_is_kept_to_second_order() -> None:
    """Over a fixed time the error of H falls with ε²: by 4 for half the step."""
    z, momentum = start(200)
    field = field_of(banana)
    errors = []
    for steps in (20, 40, 80):
        end, after, _, _ = leapfrog(field, z, momentum, field(z)[1], 1.0 / steps, steps)
        errors.append((energy(field, end, after) - energy(field, z, momentum)).abs().median().item())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_leapfrog_of_a_harmonic_oscillator() -> None:
    """ε → 0: z(t) = z cos t + ρ sin t."""
    z, momentum = start(5)
    end, after, _, _ = leapfrog(lambda z: (-0.5 * z.square().sum(-1), -z), z, momentum, -z, 1e-3, 1000)
    torch.testing.assert_close(end, z * math.cos(1) + momentum * math.sin(1), rtol=0, atol=1e-6)
    torch.testing.assert_close(after, momentum * math.cos(1) - z * math.sin(1), rtol=0, atol=1e-6)


def scores(found: Tensor, expected: list[float]) -> Tensor:
    """Deviations of means over independent chains, in standard errors."""
    error = found.std(0) / math.sqrt(len(found))
    return (found.mean(0) - torch.tensor(expected, dtype=found.dtype)).abs() / error


def normal_statistics(z: Tensor) -> tuple[Tensor, list[float]]:
    d = z - MEAN
    i, j = torch.triu_indices(3, 3)
    return torch.cat([z, d[:, i] * d[:, j]], -1), [*MEAN.tolist(), *COVARIANCE[i, j].tolist()]


def banana_statistics(z: Tensor) -> tuple[Tensor, list[float]]:
    """E z = 0, E z_1² = 1, E z_2² = ½ + ¼, E z_1 z_2 = 0, E z_1² z_2 = 1, E z_1⁴ = 3."""
    a, b = z.unbind(-1)
    values = torch.stack([a, b, a**2, b**2, a * b, a**2 * b, a**4], -1)
    return values, [0.0, 0.0, 1.0, 2 * BEND**2 + WIDTH**2, 0.0, 2 * BEND, 3.0]


@pytest.mark.parametrize("step", [0.1, 0.35, 0.8])
def test_stationary_moments_of_a_normal(step: float) -> None:
    """From exact draws, with almost none, some and many rejected: mean and covariance stay."""
    torch.manual_seed(0)
    chains = hmc(field_of(NORMAL.log_prob), NORMAL.sample((40_000,)), step, leapfrogs=5, transitions=8)
    assert scores(*normal_statistics(chains.z)).max() < 3.5
    rate = chains.acceptance.mean().item()
    assert {0.1: rate > 0.98, 0.35: 0.8 < rate < 0.98, 0.8: rate < 0.8}[step]
    torch.testing.assert_close(chains.log_p, NORMAL.log_prob(chains.z))


def test_moments_of_a_normal_from_afar() -> None:
    torch.manual_seed(0)
    start = torch.zeros(20_000, 3, dtype=torch.float64)
    chains = hmc(field_of(NORMAL.log_prob), start, 0.3, leapfrogs=5, transitions=60)
    assert scores(*normal_statistics(chains.z)).max() < 3.5


def test_moments_of_a_banana_from_afar() -> None:
    torch.manual_seed(0)
    start = 0.3 * torch.randn(20_000, 2, dtype=torch.float64)
    chains = hmc(field_of(banana), start, 0.15, leapfrogs=10, transitions=100)
    assert scores(*banana_statistics(chains.z)).max() < 3.5


def test_chains_go_on_where_they_were() -> None:
    """In two calls as in one, with no more evaluations of the field: one at the start, five for a transition."""
    ends, calls = [], []

    def field(z: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(z)
        return banana_field(z)

    for several in (True, False):
        z, _ = start(50)
        torch.manual_seed(1)
        first = hmc(field, z, 0.4, 5) if several else z
        ends.append(hmc(field, first, 0.4, 5, transitions=2 if several else 3))
        torch.testing.assert_close((ends[-1].log_p, ends[-1].slope), banana_field(ends[-1].z))
    assert 0 < ends[0].acceptance.mean() < 1
    assert torch.equal(ends[0].z, ends[1].z)
    assert len(calls) == 2 * (1 + 3 * 5)


def test_moments_would_show_a_missing_rejection() -> None:
    """The same steps with every end accepted: the moments of another density."""
    torch.manual_seed(0)
    field, z = field_of(banana), torch.zeros(20_000, 2, dtype=torch.float64)
    for _ in range(40):
        z = leapfrog(field, z, torch.randn_like(z), field(z)[1], 0.4, 5)[0].clamp(-20, 20)
    assert scores(*banana_statistics(z)).max() > 6


def test_moments_would_show_stale_momentum() -> None:
    """One momentum for all transitions: energy is never exchanged, and the moments are wrong."""
    torch.manual_seed(0)
    z = NORMAL.sample((1,)).expand(20_000, 3) * 0 + MEAN
    field, momentum = field_of(NORMAL.log_prob), 0.1 * torch.randn(20_000, 3, dtype=torch.float64)
    for _ in range(20):
        z, momentum, _, _ = leapfrog(field, z, momentum, field(z)[1], 0.3, 5)
    assert scores(*normal_statistics(z)).max() > 6


def test_ends_without_density_are_rejected() -> None:
    """A uniform density on a box: every chain stays inside, and no chain is lost to NaN."""

    def box(z: Tensor) -> Tensor:
        inside = (z.abs() < 1).all(-1)
        return torch.where(inside, 0.0 * z.sum(-1), torch.full_like(z[..., 0], -torch.inf))

    torch.manual_seed(0)
    chains = hmc(field_of(box), torch.zeros(5000, 2, dtype=torch.float64), 0.4, leapfrogs=3, transitions=30)
    assert (chains.z.abs() < 1).all()
    values = torch.cat([chains.z, chains.z.square()], -1)
    assert scores(values, [0.0, 0.0, 1 / 3, 1 / 3]).max() < 3.5


def test_chains_of_a_batch_are_independent_of_each_other() -> None:
    """Each with a step size of its own; [K, B] chains have [K, B] rates."""
    torch.manual_seed(0)
    steps = torch.tensor([[[0.05], [0.3], [3.0]]], dtype=torch.float64)
    chains = hmc(field_of(NORMAL.log_prob), MEAN.expand(500, 3, 3), steps, leapfrogs=5)
    assert chains.acceptance.shape == (500, 3)
    good, fair, bad = chains.acceptance.mean(0)
    assert good > fair > bad
    assert bad < 0.1


@pytest.mark.parametrize("target", [0.65, 0.9])
@pytest.mark.parametrize("first", [0.01, 3.0])
def test_step_size_finds_the_rate_of_acceptance(first: float, target: float) -> None:
    torch.manual_seed(0)
    log_step, z, rates = torch.tensor(math.log(first), dtype=torch.float64), NORMAL.sample((200,)), []
    for _ in range(300):
        chains = hmc(field_of(NORMAL.log_prob), z, log_step.exp(), leapfrogs=5)
        z, log_step = chains.z, adapted(log_step, chains.acceptance.mean(), target)
        rates.append(chains.acceptance.mean().item())
    assert sum(rates[-100:]) / 100 == pytest.approx(target, abs=0.02)
