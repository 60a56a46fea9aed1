"""Posteriors of several passes: every estimator that is legal is unbiased, by quadrature over all that they draw."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from elbox import ELBO, IWAE, VAE, AnalyticKL, IncompatibleError, Path, Reparameterized, Score
from elbox.estimators import Estimator
from elbox.likelihoods import Gaussian
from elbox.nn import MLP, RadialMetric
from elbox.objectives import Objective
from elbox.posteriors import Auxiliary, DiagonalNormal, Hamiltonian, Refined, RiemannianHamiltonian
from elbox.priors import LearnedNormal
from tests.unbiased import exact
from tests.unbiased.exact import Formula, Nodes, gradient, line, mean, nodes, plane
from tests.unbiased.models import FEATURES, batch, shaken
from tests.unbiased.sampled import agree

OBJECTIVES: dict[str, tuple[Objective, Formula]] = {
    "ELBO": (ELBO(samples=2), exact.elbo()),
    "beta": (ELBO(beta=0.4, samples=2), exact.elbo(0.4)),
    "IWAE": (IWAE(2), exact.renyi(0.0, 2)),
}
ESTIMATORS: dict[str, Estimator] = {
    "Reparameterized": Reparameterized(),
    "AnalyticKL": AnalyticKL(),
    "Path": Path(),
    "Score": Score(),
}


def normal(given: int = 0) -> DiagonalNormal:
    return DiagonalNormal(MLP(FEATURES, [3], (2, 1), nn.Tanh, context=given), 1)


def model(posterior: Callable[[nn.Module, nn.Module], nn.Module]) -> VAE:
    """One latent dimension, the same each time; the posterior may hold prior and likelihood."""
    torch.manual_seed(1)
    likelihood = shaken(Gaussian(MLP(1, [3], FEATURES, nn.Tanh), offset=0.2, scale=1.3), 0.5)
    prior = shaken(LearnedNormal(1), 0.5)
    return VAE(prior, likelihood, posterior(prior, likelihood).double())


# ── auxiliary variables ─────────────────────────────────────────────────────────────────────────────────────────────


def auxiliary(prior: nn.Module, likelihood: nn.Module) -> nn.Module:
    return shaken(Auxiliary(normal(), normal(1), normal(1), 1))


def both(vae: VAE, x: Tensor) -> list[Nodes]:
    """Nodes of a and z together, from the three densities as they are written."""
    grid = plane(91, 11.0)
    a, z = (grid.z[:, None, i : i + 1].expand(-1, len(x), -1) for i in (0, 1))
    q, wide = vae.posterior, x.expand(len(a), *x.shape)
    log_q = q.auxiliary(x).log_prob(a) + q.posterior((wide, a)).log_prob(z)
    log_p = vae.prior().log_prob(z) + q.reverse((wide, z)).log_prob(a)
    weight, log_px = log_q.exp() * grid.cell, vae.likelihood(z).log_prob(x)
    assert (weight.sum(0) - 1).abs().max() < 1e-6
    found = []
    for b in range(len(x)):
        keep = weight[:, b] > 1e-8
        found.append(Nodes(*(t[keep, b] for t in (weight, log_px, log_p, log_q))))
    return found


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_auxiliary(objective: str, estimator: str) -> None:
    vae, (goal, formula), how = model(auxiliary), OBJECTIVES[objective], ESTIMATORS[estimator]
    if estimator == "AnalyticKL" or (estimator == "Path" and objective == "IWAE"):
        with pytest.raises(IncompatibleError, match=r"use Reparameterized\(\)|use Path\(\)"):
            how(vae, batch(), goal)
        return
    agree(gradient(vae, mean(formula, both(vae, batch()))), how, vae, goal, batch())


# ── refinement ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("through", [True, False])
def test_refined(through: bool, objective: str, estimator: str) -> None:
    """Also of prior and likelihood, which the steps depend on: if they are differentiated, so is the quadrature."""

    def refined(prior: nn.Module, likelihood: nn.Module) -> nn.Module:
        return Refined(shaken(normal()), prior, likelihood, 1, steps=3, lr=0.1, through=through)

    vae, (goal, formula), how = model(refined), OBJECTIVES[objective], ESTIMATORS[estimator]
    if estimator == "AnalyticKL" and objective == "IWAE":
        with pytest.raises(IncompatibleError, match=r"use Reparameterized\(\)"):
            how(vae, batch(), goal)
        return
    agree(gradient(vae, mean(formula, nodes(vae, batch(), line(241, 9.0)))), how, vae, goal, batch())


# ── Hamiltonian flows ───────────────────────────────────────────────────────────────────────────────────────────────

FLOWS = {
    "Hamiltonian": lambda prior, likelihood: Hamiltonian(shaken(normal()), prior, likelihood, 1, steps=2),
    "RiemannianHamiltonian": lambda prior, likelihood: RiemannianHamiltonian(
        shaken(normal()), prior, likelihood, RadialMetric(1, 2), steps=1, step=0.1
    ),
}


def started(vae: VAE, x: Tensor) -> list[Nodes]:
    """Nodes of z_0 and the noise behind ρ_0; all numbers of a node are those of where it ends."""
    grid, q = plane(half_width=9.0), vae.posterior
    z0, noise = (grid.z[:, None, i : i + 1].expand(-1, len(x), -1) for i in (0, 1))
    log_q0 = q.posterior(x).log_prob(z0)
    log_noise = -0.5 * (noise.square() + torch.log(torch.tensor(2 * torch.pi))).sum(-1)
    weight = (log_q0 + log_noise).exp() * grid.cell
    assert (weight.sum(0) - 1).abs().max() < 1e-6
    momentum, log_start = q.start(z0, noise)
    z, momentum = q.evolve(q.field(x), z0, q.cooling()[0] * momentum)
    log_q = log_q0 + log_start - q.log_momentum(z, momentum)
    log_px, log_pz = vae.likelihood(z).log_prob(x), vae.prior().log_prob(z)
    found = []
    for b in range(len(x)):
        keep = weight[:, b] > 1e-8
        found.append(Nodes(*(t[keep, b] for t in (weight, log_px, log_pz, log_q))))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["ELBO", "IWAE"])
@pytest.mark.parametrize("flow", FLOWS)
def test_hamiltonian(flow: str, objective: str) -> None:
    vae, (goal, formula) = model(FLOWS[flow]), OBJECTIVES[objective]
    agree(gradient(vae, mean(formula, started(vae, batch()))), Reparameterized(), vae, goal, batch(), finest=0.1)
