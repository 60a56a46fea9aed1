"""Free bits and capacity: not separable, so only for estimators that differentiate the objective as it stands.

The maximum, or the modulus, is of the rate as the estimator gives it: exact with AnalyticKL, else sampled. Each is held
against the gradient of its own expectation.
"""

from __future__ import annotations

import math
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from elbox import ELBO, VAE, AnalyticKL, IncompatibleError, Path, Reparameterized, Score, likelihoods, posteriors
from elbox.nn import MLP
from elbox.objectives import Distortion
from elbox.schedules import Linear
from tests.unbiased import exact
from tests.unbiased.exact import Gradient, gradient, line, nodes, plane
from tests.unbiased.models import FEATURES, batch, encoder, model
from tests.unbiased.sampled import REPEATS, Sampled, agree, deviation, worst

PENALISED = [ELBO(free_bits=0.3), ELBO(free_bits=0.3, per_dimension=True), ELBO(capacity=1.0), ELBO(capacity=Linear())]


@pytest.mark.parametrize("estimator", [Path(), Score()])
@pytest.mark.parametrize("objective", PENALISED)
def test_not_for_path_nor_score(objective: ELBO, estimator: Path | Score) -> None:
    with pytest.raises(
        IncompatibleError,
        match=r"(Path|Score) needs .* this ELBO is not; use Reparameterized",
    ):
        estimator(model(), batch(), objective)


@pytest.mark.parametrize("c", [0.1, 5.0])
def test_capacity_with_exact_rate(c: float) -> None:
    vae = model("FullNormal", "LearnedNormal")
    formula = exact.capacity(c, 1.5, closed_form=True)
    right = gradient(vae, exact.mean(formula, nodes(vae, batch(), plane())))
    agree(right, AnalyticKL(), vae, ELBO(beta=1.5, capacity=c), batch())


def test_capacity_with_sampled_rate() -> None:
    """E|log q(z|x) − log p(z) − C| in one latent dimension, with nodes so dense that its kink does not matter."""
    vae = model("DiagonalNormal", "NormalMixture", latent=1)
    formula = exact.capacity(0.3, 1.5, closed_form=False)
    right = gradient(vae, exact.mean(formula, nodes(vae, batch(), line(20_001))))
    agree(right, Reparameterized(), vae, ELBO(beta=1.5, capacity=0.3), batch())


def per_dimension(vae: VAE, grid: exact.Grid) -> Tensor:
    """KL(q(z_d|x) ‖ p(z_d)) by quadrature, for each example and dimension, [B, D]; both factorise."""
    q, p = vae.posterior(batch()).base_dist, vae.prior().base_dist
    z = grid.z[:, :, None]
    log_q = q.log_prob(z.expand(-1, *q.loc.shape))
    return (log_q.exp() * (log_q - p.log_prob(z)) * grid.cell).sum(0)


@pytest.mark.parametrize("place", ["below all", "between", "above all"])
@pytest.mark.parametrize("each", [False, True], ids=["for the group", "for each dimension"])
def test_free_bits_with_exact_rate(each: bool, place: str) -> None:
    """Σ_j max(λ, mean over the batch of KL_j), with λ below, between and above the KL_j."""
    vae = model("DiagonalNormal", "LearnedNormal")
    rates = per_dimension(vae, line(401)).mean(0)
    low, high = rates.detach().sort().values.tolist()
    bits = {"below all": 0.5 * low, "between": 0.5 * (low + high), "above all": 2.0 * (low + high)}[place]
    floored = rates.clamp(min=bits).sum() if each else rates.sum().clamp(min=bits)
    log_px = exact.mean(lambda n: (n.weight * n.log_px).sum(), nodes(vae, batch(), plane()))
    right = gradient(vae, log_px - floored)
    if place == "above all":  # the prior, and only the prior, is free of any gradient
        assert all(not g.any() for n, g in right.items() if n.startswith("prior"))
        right = {n: g for n, g in right.items() if not n.startswith("prior")}
    agree(right, AnalyticKL(), vae, ELBO(free_bits=bits, per_dimension=each), batch())


def draw_by_draw(vae: VAE, objective: ELBO, draws: int = 2000) -> Sampled:
    """Like `sample`, for objectives that join the examples of a batch: one batch of two for each draw, K = 1, D = 1."""

    def loss(parameters: Gradient, noise: Tensor) -> Tensor:
        with mock.patch("torch.distributions.normal._standard_normal", return_value=noise):
            return functional_call(Loss(vae, objective), {f"model.{n}": p for n, p in parameters.items()}, ())

    parameters = {n: p.detach() for n, p in vae.named_parameters()}
    noise = torch.randn(draws * REPEATS, 1, len(batch()), 1, dtype=torch.float64)
    found = vmap(grad(loss), in_dims=(None, 0))(parameters, noise)
    grouped = {n: -g.unflatten(0, (REPEATS, draws)).mean(1) for n, g in found.items()}
    nothing = torch.zeros(())
    return Sampled(
        {n: g.mean(0) for n, g in grouped.items()},
        {n: g.std(0) / math.sqrt(REPEATS) for n, g in grouped.items()},
        nothing,
        nothing,
    )


class Loss(torch.nn.Module):
    def __init__(self, vae: VAE, objective: ELBO) -> None:
        super().__init__()
        self.model, self.objective = vae, objective

    def forward(self) -> Tensor:
        return Reparameterized()(self.model, batch(), self.objective).loss


@pytest.mark.parametrize("bits", [0.05, 0.5])
def test_free_bits_with_sampled_rate(bits: float) -> None:
    """E max(λ, mean over the batch of one sampled rate each): a sum over pairs of nodes, one for each example."""
    vae = model("DiagonalNormal", "NormalMixture", latent=1)
    first, second = nodes(vae, batch(), line(1501))
    pair = 0.5 * ((first.log_qz - first.log_pz)[:, None] + second.log_qz - second.log_pz)
    floored = (first.weight[:, None] * second.weight * pair.clamp(min=bits)).sum()
    log_px = exact.mean(lambda n: (n.weight * n.log_px).sum(), [first, second])
    right, found = gradient(vae, log_px - floored), draw_by_draw(vae, ELBO(free_bits=bits))
    score, name = worst(right, found)
    assert score < 6, f"{name} is {score:.1f} standard errors away"
    for part in ("prior", "likelihood", "posterior"):
        distance, error = deviation(right, found, part)
        assert error < 0.05
        assert distance < 4 * error


# ── autoencoders: nothing is random ─────────────────────────────────────────────────────────────────────────────────


def autoencoder() -> VAE:
    torch.manual_seed(1)
    net = MLP(2, [3], FEATURES, torch.nn.Tanh)
    return VAE(None, likelihoods.Gaussian(net), posteriors.Deterministic(encoder(2), 2)).double()


@pytest.mark.parametrize("objective", [Distortion(), Distortion(samples=4)], ids=["plain", "samples"])
@pytest.mark.parametrize("estimator", [Reparameterized(), AnalyticKL(), Path()])
def test_autoencoder(estimator: Path, objective: Distortion) -> None:
    """The gradient of the distortion, for every estimator that differentiates the code; there is no rate to weigh."""
    vae = autoencoder()
    loss, value, terms = estimator(vae, batch(), objective)
    distortion = -vae.likelihood(vae.posterior.net(batch())).log_prob(batch()).mean()
    torch.testing.assert_close(loss, distortion)
    torch.testing.assert_close(loss, -value.mean())
    assert not terms.rate.any()
    torch.testing.assert_close(gradient(vae, loss), gradient(vae, distortion))
