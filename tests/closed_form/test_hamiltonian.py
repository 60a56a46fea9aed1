"""Hamiltonian posteriors: their flow against mechanics, their weights against exact evidence."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from elbox import ELBO, IWAE, VAE, IncompatibleError, Path, Reparameterized, Score, SettingError, draws
from elbox.likelihoods import Bernoulli, OptimalGaussian
from elbox.nn import MLP, RadialMetric
from elbox.parts import part
from elbox.posteriors import DiagonalNormal, Hamiltonian, RiemannianHamiltonian
from elbox.posteriors.evolving import Evolving
from elbox.priors import NormalMixture, StandardNormal
from tests.closed_form.linear import LATENT, data, evidence, likelihood, linear_gaussian, prior


@part
class Flat(nn.Module):
    """G = I."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.eye(z.shape[-1], dtype=z.dtype).expand(*z.shape, z.shape[-1])


def bent() -> tuple[nn.Module, nn.Module]:
    """A prior and a likelihood whose posterior is far from normal."""
    torch.manual_seed(2)
    return NormalMixture(2, 3).double(), Bernoulli(MLP(2, [8], 5, nn.Tanh)).double()


def start() -> DiagonalNormal:
    return DiagonalNormal(MLP(5, [8], (2, 2), nn.Tanh), 2).double()


FLOWS = {
    "cold": lambda: Hamiltonian(start(), *bent(), 2, steps=4, temperature=1.0),
    "tempered": lambda: Hamiltonian(start(), *bent(), 2, steps=4, temperature=2.5),
    "Riemannian": lambda: RiemannianHamiltonian(start(), *bent(), RadialMetric(2, 5), temperature=1.0, iterations=20),
    "Riemannian, tempered": lambda: RiemannianHamiltonian(
        start(), *bent(), RadialMetric(2, 5), step=0.05, temperature=2.5, iterations=20
    ),
}


def states(q: Evolving, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Examples, positions and momenta at the start, of one example each."""
    torch.manual_seed(0)
    x = torch.rand(n, 5, dtype=torch.float64).round()
    z = q.posterior(x).sample()
    return x, z, (q.cooling()[0] * q.start(z, torch.randn_like(z))[0]).detach()


def jacobian(q: Evolving, x: Tensor, z: Tensor, momentum: Tensor) -> Tensor:
    def flow(state: Tensor) -> Tensor:
        return torch.cat(q.evolve(q.field(x), state[:, :2], state[:, 2:]), -1)

    return torch.autograd.functional.jacobian(flow, torch.cat([z, momentum], -1)).reshape(4, 4)


@pytest.mark.parametrize("name", FLOWS)
def test_volume(name: str) -> None:
    """det ∂(z_K, ρ_K) / ∂(z_0, ρ_0) = 1 without tempering, the product of the factors with it; to 1e-6."""
    q = FLOWS[name]().double()
    factor = q.cooling()[1:].prod() ** 2
    assert (abs(factor - 1) < 1e-12) == (q.log_excess is None)
    x, z, momentum = states(q, 5)
    for i in range(5):
        found = jacobian(q, *(t[i : i + 1] for t in (x, z, momentum)))
        assert (found - torch.eye(4)).abs().max() > 0.01, "nothing moved"
        assert abs(torch.linalg.det(found) / factor - 1) < 1e-6


def test_volume_of_the_defaults() -> None:
    """Six iterations are enough at the default step and temperature."""
    q = RiemannianHamiltonian(start(), *bent(), RadialMetric(2)).double()
    x, z, momentum = states(q, 5)
    for i in range(5):
        found = torch.linalg.det(jacobian(q, *(t[i : i + 1] for t in (x, z, momentum))))
        assert abs(found / q.cooling()[1:].prod() ** 2 - 1) < 1e-6


@pytest.mark.parametrize("name", ["cold", "Riemannian"])
def test_time_is_reversible(name: str) -> None:
    q = FLOWS[name]().double()
    x, z, momentum = states(q, 6)
    end, after = q.evolve(q.field(x), z, momentum)
    assert (end - z).abs().max() > 0.01
    back, before = q.evolve(q.field(x), end, -after)
    torch.testing.assert_close((back, -before), (z, momentum), rtol=0, atol=1e-8)


def test_cooling_ends_at_one() -> None:
    """√T_0 · Π α_k = 1 with √T_k quadratic in k; T_0 is the one asked for, and learned."""
    q = Hamiltonian(start(), *bent(), 2, steps=5, temperature=1.5)
    root, *factors = q.cooling()
    assert len(factors) == 5
    assert root.item() == pytest.approx(math.sqrt(1.5))
    assert (root * torch.stack(factors).prod()).item() == pytest.approx(1)
    roots = [root * torch.stack(factors[:k]).prod() for k in range(1, 6)]
    expected = [(1 - math.sqrt(1.5)) * (k / 5) ** 2 + math.sqrt(1.5) for k in range(1, 6)]
    assert torch.stack(roots).tolist() == pytest.approx(expected)
    (slope,) = torch.autograd.grad(factors[0], q.log_excess)
    assert slope != 0
    assert Hamiltonian(start(), *bent(), 2, steps=3, temperature=1.0).cooling().tolist() == [1.0] * 4


def test_flat_metric_is_no_metric() -> None:
    """G = I: momenta, steps, densities and draws are those of the Hamiltonian posterior."""
    generative, base = bent(), start()
    plain = Hamiltonian(base, *generative, 2, steps=4, step=0.1, temperature=2.0).double()
    metric = RiemannianHamiltonian(base, *generative, Flat(), steps=4, step=0.1, temperature=2.0, iterations=2)
    x, found = torch.rand(3, 5, dtype=torch.float64).round(), []
    for q in (plain, metric.double()):
        torch.manual_seed(4)
        found.append(q(x).rsample_and_log_prob((6,)))
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)


DRAWS = 4000
LINEAR = {
    "cold": lambda q, p, x_z: Hamiltonian(q, p, x_z, LATENT, steps=3, temperature=1.0),
    "tempered": lambda q, p, x_z: Hamiltonian(q, p, x_z, LATENT, steps=3, temperature=1.5),
    "Riemannian": lambda q, p, x_z: RiemannianHamiltonian(q, p, x_z, RadialMetric(LATENT), temperature=1.5),
}


@pytest.mark.parametrize("p", ["standard", "learned"])
@pytest.mark.parametrize("name", LINEAR)
def test_weights_have_the_evidence_as_their_mean(name: str, p: str) -> None:
    """E w = p(x) exactly, and so E log w ≤ log p(x)."""
    torch.manual_seed(1)
    vae, x = linear_gaussian("full", p, exact=False), data(4)
    model = VAE(vae.prior, vae.likelihood, LINEAR[name](vae.posterior, vae.prior, vae.likelihood).double())
    with torch.no_grad():
        log_w = model.terms(x, DRAWS).log_w
    ratio, truth = (log_w - evidence(vae, x)).exp(), evidence(vae, x)
    assert ((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / DRAWS**0.5).all()
    assert (log_w.mean(0) < truth + 4 * log_w.std(0) / DRAWS**0.5).all()


def trained_bound(steps: int) -> float:
    """The ELBO of a correlated posterior with a fixed start that does not know it, after the flow is trained."""
    torch.manual_seed(3)
    vae, x = VAE(prior("standard"), likelihood(), nn.Identity()), data(8)
    base = DiagonalNormal(MLP(4, [], (2, LATENT)), LATENT).double().requires_grad_(False)
    model = VAE(vae.prior, vae.likelihood, base)
    if steps:
        model.posterior = Hamiltonian(base, vae.prior, vae.likelihood, LATENT, steps, step=0.1).double()
        free = [model.posterior.logit_step, model.posterior.log_excess]
        optimizer = torch.optim.Adam(free, lr=0.05)
        for _ in range(80):
            optimizer.zero_grad()
            Reparameterized()(model, x, ELBO(samples=16)).loss.backward(inputs=free)
            optimizer.step()
    with torch.no_grad():
        return float((model.terms(x, 4000).log_w.mean(0) - evidence(vae, x)).mean())


@pytest.mark.slow
def test_bound_improves_with_steps() -> None:
    gaps = [trained_bound(k) for k in (0, 1, 3, 8)]
    assert gaps == sorted(gaps), gaps
    assert gaps[-1] < 0
    assert gaps[-1] > gaps[0] / 3, gaps


@pytest.mark.parametrize("name", FLOWS)
def test_momenta_are_new_and_evaluation_is_training(name: str) -> None:
    q = FLOWS[name]().double()
    model, x = VAE(q.prior, q.likelihood, q), torch.rand(3, 5, dtype=torch.float64).round()
    with torch.no_grad():
        q.posterior.net.net[-1].bias[2:] -= 1e6  # z_0 is a point, up to e^{-10}
        z = model.encode(x).sample((2,))
    assert (z[0] - z[1]).abs().min() > 1e-4, "one momentum for all"
    found = []
    for mode, gradients in ((True, True), (False, True), (False, False)):
        torch.manual_seed(0)
        with torch.set_grad_enabled(gradients):
            found.append(model.train(mode).terms(x, 5, draw=draws.sample).log_w.detach())
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    torch.testing.assert_close(found[0], found[2])


def test_condition_is_seen() -> None:
    torch.manual_seed(0)
    p, decoder = StandardNormal(2), Bernoulli(MLP(2, [8], 5, nn.Tanh, context=3))
    model = VAE(p, decoder, Hamiltonian(DiagonalNormal(MLP(5, [], (2, 2), context=3), 2), p, decoder, 2))
    x, c = torch.rand(4, 5).round(), torch.randn(4, 3)
    assert model.terms(x, 3, c=c).log_w.shape == (3, 4)
    assert model.reconstruct(x, c=c).shape == (4, 5)
    assert model.encode(x, c=c).sample().shape == (4, 2)


@pytest.mark.parametrize("estimator", [Path(), Score()])
def test_scoring_of_given_codes_is_refused(estimator: Path | Score) -> None:
    q = FLOWS["tempered"]()
    with pytest.raises(IncompatibleError, match=r"knows the density of its own draws alone; use Reparameterized\(\)"):
        estimator(VAE(q.prior, q.likelihood, q), torch.ones(3, 5, dtype=torch.float64), IWAE(2))


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        ({"steps": 0}, "got steps=0; expected a whole number ≥ 1"),
        ({"temperature": 0.5}, "got temperature=0.5; expected at least 1, which is no tempering"),
        ({"step": 0.5}, "got step=0.5, limit=0.5; expected a step below its limit"),
    ],
)
def test_bad_settings(bad: dict[str, float], expected: str) -> None:
    with pytest.raises(SettingError, match=expected):
        Hamiltonian(start(), *bent(), 2, **bad)


def test_likelihood_of_a_batch_is_refused() -> None:
    with pytest.raises(IncompatibleError, match="got Hamiltonian with OptimalGaussian"):
        Hamiltonian(start(), StandardNormal(2), OptimalGaussian(MLP(2, [8], 5)), 2)


def test_metric_is_positive_definite_everywhere() -> None:
    metric, z = RadialMetric(3, 4, regularization=0.01), 10 * torch.randn(500, 3)
    eigenvalues = torch.linalg.eigvalsh(metric(z))
    assert eigenvalues.min() > 0.00999
    torch.testing.assert_close(metric(z), metric(z).mT)
