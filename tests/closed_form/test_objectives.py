"""Objectives: hand-computed values, and identities between them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elbox import ELBO, IWAE, VAE, AnalyticKL, Group, Renyi, Reparameterized, Score, Terms, likelihoods
from elbox.distributions import diagonal_normal
from elbox.objectives import Objective
from elbox.schedules import Capacity, Linear
from tests.closed_form.test_likelihoods import Put
from tests.components import FEATURES, LATENT, make

K, B = 5, 3


def group(k: int = K, b: int = B, d: int = LATENT) -> Group:
    """A posterior met with its prior, sampled by hand."""
    q = diagonal_normal(torch.randn(b, d, dtype=torch.float64), torch.rand(b, d, dtype=torch.float64) + 0.2)
    p = diagonal_normal(torch.zeros(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64))
    z = q.sample((k,))
    return Group(z, p.log_prob(z), q.log_prob(z), p, q)


def terms(k: int = K, b: int = B, groups: int = 1) -> Terms:
    return Terms(-5 * torch.rand(k, b, dtype=torch.float64), {f"z{i}": group(k, b) for i in range(groups)})


@pytest.mark.parametrize("groups", [1, 3])
def test_definitions(groups: int) -> None:
    """log w = log p(x|z) + Σ (log p(z) − log q(z|x)); elbo = −(distortion + rate) = mean log w."""
    t = terms(groups=groups)
    log_w = t.log_px + sum(g.log_pz - g.log_qz for g in t.groups.values())
    torch.testing.assert_close(t.log_w, log_w)
    torch.testing.assert_close(t.distortion, -t.log_px.mean(0))
    torch.testing.assert_close(t.rate, (t.log_px - log_w).mean(0))
    torch.testing.assert_close(t.elbo, log_w.mean(0))
    torch.testing.assert_close(ELBO()(t), log_w.mean(0))
    torch.testing.assert_close(IWAE(K)(t), log_w.exp().mean(0).log())
    for a in (-1.0, 0.5, 3.0):
        torch.testing.assert_close(Renyi(a, K)(t), log_w.exp().pow(1 - a).mean(0).log() / (1 - a))


@pytest.mark.parametrize("alpha", [-5.0, 0.0, 0.5, 0.99, 1 - 1e-4, 1 - 1e-6, 1 - 1e-7, 1 + 1e-6, 2.0])
@pytest.mark.parametrize("spread", [2.0, 300.0])
def test_renyi_keeps_its_digits_in_single_precision(alpha: float, spread: float) -> None:
    """Value and gradient in float32 are those in float64, also as α → 1, which is the ELBO, and for weights apart."""
    log_w = torch.randn(50, 4) * spread - 100
    results = []
    for dtype in (torch.float32, torch.float64):
        log_px = log_w.to(dtype, copy=True).requires_grad_()
        value = Renyi(alpha, 50)(Terms(log_px, {}))
        value.sum().backward()
        results.append((value.detach(), log_px.grad))
    (value, slope), (exact, exact_slope) = results
    torch.testing.assert_close(value.double(), exact, rtol=0, atol=5e-7 * log_w.abs().max().item())
    torch.testing.assert_close(slope.double(), exact_slope, rtol=1e-4, atol=1e-6)
    power = (1 - alpha) * log_w.double()
    torch.testing.assert_close(exact_slope, torch.softmax(power, 0))
    if abs(alpha - 1) > 0.1:
        torch.testing.assert_close(exact, (torch.logsumexp(power, 0) - math.log(50)) / (1 - alpha))
    elif abs(alpha - 1) < 1e-3 and spread == 2:
        torch.testing.assert_close(exact, log_w.double().mean(0) + (1 - alpha) * log_w.double().var(0, False) / 2)


def test_elbo_by_hand() -> None:
    """One pixel, one code, all numbers in reach of a pencil: no mean over pixels, no hidden weight, nats."""
    q = type(
        "Net", (torch.nn.Module,), {"forward": lambda self, x: torch.tensor([[[0.5], [0.0]]]).expand(len(x), 2, 1)}
    )()
    from elbox.posteriors import DiagonalNormal
    from elbox.priors import StandardNormal

    model = VAE(StandardNormal(1), likelihoods.Bernoulli(Put(torch.tensor([math.log(3.0), 0.0]))), DiagonalNormal(q, 1))
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    distortion = [-math.log(0.75) - math.log(0.5), -math.log(0.25) - math.log(0.5)]
    rate = 0.5 * 0.5**2  # KL(N(½, 1) ‖ N(0, 1))
    loss, value, t = AnalyticKL()(model, x, ELBO())
    assert t.distortion.tolist() == pytest.approx(distortion)
    assert t.rate.tolist() == pytest.approx([rate, rate])
    assert value.tolist() == pytest.approx([-d - rate for d in distortion])
    assert loss.item() == pytest.approx(sum(distortion) / 2 + rate)
    assert AnalyticKL()(model, x, ELBO(beta=4.0)).loss.item() == pytest.approx(sum(distortion) / 2 + 4 * rate)


def test_iwae_by_hand() -> None:
    """Weights 1, 2 and 6: log((1 + 2 + 6)/3) = log 3. Not the softmax-weighted sum of log-weights, which is larger."""
    log_w = torch.tensor([[1.0], [2.0], [6.0]]).log()
    t = Terms(log_w, {})
    assert IWAE(3)(t).item() == pytest.approx(math.log(3))
    assert Renyi(0.5, 3)(t).item() == pytest.approx(2 * math.log((1 + math.sqrt(2) + math.sqrt(6)) / 3))
    assert ELBO(samples=3)(t).item() == pytest.approx(math.log(12) / 3)
    weights = torch.tensor([1 / 9, 2 / 9, 6 / 9])
    torch.testing.assert_close(IWAE(3).path_scale(t)[:, 0], weights)
    torch.testing.assert_close(Renyi(0.25, 3).path_scale(t).sum(0), torch.tensor([3 * 0.25 + 0.75]))
    torch.testing.assert_close(ELBO(samples=3).path_scale(t), torch.ones(3, 1))


def test_gradient_of_iwae_weighs_the_best_sample_most() -> None:
    """∂L_K/∂log w_k = ŵ_k, the normalised weights."""
    log_w = torch.tensor([[1.0], [2.0], [6.0]]).log().requires_grad_()
    IWAE(3)(Terms(log_w, {})).sum().backward()
    torch.testing.assert_close(log_w.grad[:, 0], torch.tensor([1 / 9, 2 / 9, 6 / 9]))


@pytest.mark.parametrize("alpha", [-1.0, 0.0, 0.5, 2.0])
def test_with_one_sample_every_bound_is_the_elbo(alpha: float) -> None:
    t = terms(k=1)
    torch.testing.assert_close(Renyi(alpha, 1)(t), ELBO(samples=1)(t))
    torch.testing.assert_close(Renyi(alpha, 1).path_scale(t), torch.ones(1, B).double())


def test_one_sample_of_a_model_gives_the_same_numbers() -> None:
    """IWAE(1) = ELBO(samples=1) on the same draws, value and gradient, through a model."""
    model, x = (
        VAE(make("priors.LearnedNormal"), make("likelihoods.Gaussian"), make("posteriors.FullNormal")),
        torch.randn(4, 5),
    )
    found = []
    for objective in (IWAE(1), ELBO(samples=1)):
        torch.manual_seed(3)
        loss = Reparameterized()(model, x, objective).loss
        found.append((loss, *torch.autograd.grad(loss, list(model.parameters()))))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_renyi_tends_to_the_elbo() -> None:
    """lim α → 1 L_α = ELBO, from both sides, with an error of order |1 − α|."""
    t = terms()
    for step in (1e-2, 1e-3, 1e-4):
        for a in (1 - step, 1 + step):
            assert (Renyi(a, K)(t) - ELBO()(t)).abs().max() < 0.6 * step * t.log_w.var(0, unbiased=False).max()


def test_renyi_zero_is_the_importance_weighted_bound() -> None:
    t = terms()
    torch.testing.assert_close(Renyi(0.0, K)(t), torch.logsumexp(t.log_w, 0) - math.log(K))
    assert IWAE(7).arguments == Renyi(0.0, 7).arguments


@settings(max_examples=50, deadline=None)
@given(
    log_w=st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=6), alpha=st.sampled_from([-2.0, 0.0, 0.5, 0.999, 3.0])
)
def test_no_weight_overflows(log_w: list[float], alpha: float) -> None:
    """Finite value, scale and gradient for weights from e^{−10⁴} to e^{10⁴}, in single precision."""
    t = Terms(torch.tensor(log_w)[:, None].requires_grad_(), {})
    value = Renyi(alpha, len(log_w))(t)
    value.sum().backward()
    assert value.isfinite().all()
    assert Renyi(alpha, len(log_w)).path_scale(t).isfinite().all()
    assert t.log_px.grad.isfinite().all()
    assert min(log_w) - 1 <= value.item() <= max(log_w) + 1


OBJECTIVES = [ELBO(samples=K), ELBO(beta=0.3, samples=K), ELBO(capacity=1.0, samples=K), ELBO(free_bits=0.4, samples=K),
              ELBO(free_bits=0.4, samples=K, per_dimension=True), IWAE(K), Renyi(0.5, K), Renyi(-1.0, K)]  # fmt: skip
IDS = ["elbo", "beta", "capacity", "free bits", "per dimension", "iwae", "renyi 0.5", "renyi -1"]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=IDS)
def test_order_of_samples_does_not_matter(objective: Objective) -> None:
    t = terms(groups=2)
    order = torch.randperm(K)
    groups = {n: Group(g.z[order], g.log_pz[order], g.log_qz[order], g.prior, g.posterior) for n, g in t.groups.items()}
    torch.testing.assert_close(objective(Terms(t.log_px[order], groups)), objective(t))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=IDS)
def test_mean_over_the_batch_does_not_depend_on_its_size(objective: Objective) -> None:
    """The same examples three times over: the same loss."""
    t = terms()
    g = t.groups["z0"]
    q = diagonal_normal(g.posterior.mean.repeat(3, 1), g.posterior.stddev.repeat(3, 1))
    tripled = Group(g.z.repeat(1, 3, 1), g.log_pz.repeat(1, 3), g.log_qz.repeat(1, 3), g.prior, q)
    three = Terms(t.log_px.repeat(1, 3), {"z0": tripled})
    torch.testing.assert_close(objective(three).mean(), objective(t).mean())


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o.separable], ids=lambda o: str(o.arguments))
def test_separable_objectives_treat_examples_alone(objective: Objective) -> None:
    t = terms()
    for b in range(B):
        groups = {n: Group(g.z[:, b : b + 1], g.log_pz[:, b : b + 1], g.log_qz[:, b : b + 1], None, g.posterior)
                  for n, g in t.groups.items()}  # fmt: skip
        torch.testing.assert_close(objective(Terms(t.log_px[:, b : b + 1], groups)), objective(t)[b : b + 1])


@pytest.mark.parametrize("objective", [o for o in OBJECTIVES if o.separable], ids=lambda o: str(o.arguments))
def test_leave_one_out_leaves_one_out(objective: Objective) -> None:
    """Column kB + b of the record of subsets is the objective of example b without sample k, found by deletion."""
    t = terms()
    found = objective(t.leave_one_out()).unflatten(0, (K, B))
    for k in range(K):
        keep = [i for i in range(K) if i != k]
        groups = {
            n: Group(g.z[keep], g.log_pz[keep], g.log_qz[keep], g.prior, g.posterior) for n, g in t.groups.items()
        }
        torch.testing.assert_close(found[k], objective(Terms(t.log_px[keep], groups)))


# ── weights on the rate ─────────────────────────────────────────────────────────────────────────────────────────────


def model_and_data() -> tuple[VAE, Tensor]:
    parts = (make("priors.StandardNormal"), make("likelihoods.Gaussian"), make("posteriors.DiagonalNormal"))
    return VAE(*parts).double(), torch.linspace(-2, 2, 4 * FEATURES, dtype=torch.float64).reshape(4, FEATURES).cos()


def loss_and_gradient(objective: Objective, **how: Any) -> tuple[Tensor, Tensor]:
    """Loss with exact rates, and its gradient to the posterior, on fixed noise."""
    model, x = model_and_data()
    torch.manual_seed(3)
    loss = AnalyticKL()(model, x, objective, **how).loss
    return loss.detach(), torch.cat(
        [g.flatten() for g in torch.autograd.grad(loss, list(model.posterior.parameters()))]
    )


def rates() -> Tensor:
    """Mean over the batch of the exact rate of each dimension, [D]."""
    model, x = model_and_data()
    return AnalyticKL()(model, x, ELBO()).terms.groups["z"].rate_per_dimension().mean(0).detach()


@pytest.mark.parametrize("plain", [ELBO(free_bits=0.0), ELBO(capacity=0.0)])
def test_no_free_bits_and_no_capacity_is_plain(plain: ELBO) -> None:
    torch.testing.assert_close(loss_and_gradient(plain), loss_and_gradient(ELBO()))


@pytest.mark.parametrize(("per_dimension", "groups"), [(False, 1), (True, LATENT)])
def test_many_free_bits_are_a_constant_rate_without_gradient(per_dimension: bool, groups: int) -> None:
    objective = ELBO(free_bits=1e3, per_dimension=per_dimension)
    loss, gradient = loss_and_gradient(objective)
    distortion, only = loss_and_gradient(ELBO(beta=0.0))
    torch.testing.assert_close(loss, distortion + 1e3 * groups)
    torch.testing.assert_close(gradient, only)


def test_free_bits_hold_for_each_dimension_or_for_the_sum() -> None:
    """Σ_j max(λ, mean KL_j) with λ between the rates of the two dimensions."""
    small, large = rates().sort().values.tolist()
    assert small < large
    between = (small + large) / 2
    distortion, _ = loss_and_gradient(ELBO(beta=0.0))
    each, _ = loss_and_gradient(ELBO(free_bits=between, per_dimension=True))
    together, gradient = loss_and_gradient(ELBO(free_bits=between))
    assert (each - distortion).item() == pytest.approx(between + large)
    assert (together - distortion).item() == pytest.approx(small + large)
    torch.testing.assert_close(gradient, loss_and_gradient(ELBO())[1])


def test_free_bits_are_of_the_mean_over_the_batch() -> None:
    """Kingma et al. (2016), eq. 15: max(λ, E_x KL), not E_x max(λ, KL)."""
    t = terms()
    kl = torch.tensor([0.0, 1.0, 5.0]).double()
    g = t.groups["z0"]
    t = Terms(t.log_px, {"z": Group(g.z, g.log_pz, g.log_qz, g.prior, g.posterior, kl)})
    assert (-ELBO(free_bits=1.5)(t).mean() - t.distortion.mean()).item() == pytest.approx(2.0)
    assert (-ELBO(free_bits=3.0)(t).mean() - t.distortion.mean()).item() == pytest.approx(3.0)


def test_free_bits_of_two_groups() -> None:
    t = terms(groups=2)
    floors = [max(1.0, g.rate.mean().item()) for g in t.groups.values()]
    assert (-ELBO(free_bits=1.0)(t).mean() - t.distortion.mean()).item() == pytest.approx(sum(floors))


def test_capacity_pulls_the_rate_towards_it() -> None:
    """γ |KL − C|: above the capacity the plain gradient, below it the opposite one."""
    kl = rates().sum().item()
    distortion, only = loss_and_gradient(ELBO(beta=0.0))
    _, plain = loss_and_gradient(ELBO())
    low, up = loss_and_gradient(ELBO(beta=2.0, capacity=1e-3))
    high, down = loss_and_gradient(ELBO(beta=2.0, capacity=100.0))
    assert (low - distortion).item() == pytest.approx(2 * (kl - 1e-3))
    assert (high - distortion).item() == pytest.approx(2 * (100 - kl))
    torch.testing.assert_close(up - only, 2 * (plain - only))
    torch.testing.assert_close(down - only, -2 * (plain - only))


def test_beta_weighs_the_rate_alone() -> None:
    kl, (distortion, _) = rates().sum(), loss_and_gradient(ELBO(beta=0.0))
    for beta in (0.5, 1.0, 4.0):
        torch.testing.assert_close(loss_and_gradient(ELBO(beta=beta))[0], distortion + beta * kl)


def test_schedules_follow_the_progress_of_the_run() -> None:
    kl, (distortion, _) = rates().sum(), loss_and_gradient(ELBO(beta=0.0))
    warm = ELBO(beta=Linear(0.0, 2.0, over=0.5))
    for t, beta in ((0.0, 0.0), (0.25, 1.0), (0.5, 2.0), (1.0, 2.0)):
        for progress in (t, torch.tensor(t)):
            torch.testing.assert_close(loss_and_gradient(warm, progress=progress)[0], distortion + beta * kl)
    torch.testing.assert_close(loss_and_gradient(warm)[0], distortion + 2 * kl)  # without progress: the end of the run
    growing = ELBO(capacity=Capacity(0.2, over=1.0))  # below the rate of every example
    torch.testing.assert_close(loss_and_gradient(growing, progress=0.5)[0], distortion + kl - 0.1)


def test_capacity_is_for_each_example() -> None:
    """Burgess et al. (2018), eq. 8: E_x |KL − C|, not |E_x KL − C|."""
    t = terms()
    g = t.groups["z0"]
    g = Group(g.z, g.log_pz, g.log_qz, g.prior, g.posterior, torch.tensor([0.0, 1.0, 5.0]).double())
    penalty = -ELBO(capacity=2.0)(Terms(t.log_px, {"z": g})) - t.distortion
    torch.testing.assert_close(penalty, torch.tensor([2.0, 1.0, 3.0]).double())


@pytest.mark.parametrize(
    "objective", [ELBO(beta=4.0), ELBO(free_bits=2.0), ELBO(capacity=3.0), ELBO(beta=Linear()), ELBO(samples=3)]
)
def test_selection_is_by_the_plain_elbo(objective: ELBO) -> None:
    """Whatever training minimised, models are compared on the bound at full weight."""
    t = terms()
    torch.testing.assert_close(objective.bound()(t, 0.0), t.elbo)
    assert objective.bound().samples == objective.samples


def test_selection_of_renyi_is_by_a_lower_bound() -> None:
    assert Renyi(0.5, 4).bound().arguments == {"alpha": 0.5, "samples": 4}
    assert Renyi(-1.0, 4).bound().arguments == {"alpha": 0.0, "samples": 4}


# ── reductions through a model ──────────────────────────────────────────────────────────────────────────────────────


class Twice(torch.nn.Module):
    """A network whose last axis is put out twice."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([self.net(z), self.net(z)], -1)


@pytest.mark.parametrize("name", [n for n in likelihoods.__all__ if n != "Multinomial"])  # of a whole, not of its parts
def test_doubling_the_image_doubles_the_distortion(name: str) -> None:
    part = make(f"likelihoods.{name}")
    double = make(f"likelihoods.{name}")
    part.library = double.library = False  # a given size is shared out among all dimensions
    if getattr(part, "log_theta", torch.ones(())).dim():
        double.log_theta = torch.nn.Parameter(part.log_theta.detach().repeat(2))
    double.net = Twice(double.net)
    for unit in [u for u in ("offset", "scale") if getattr(part, u, torch.ones(())).dim()]:
        setattr(double, unit, getattr(part, unit).repeat(2))
    z = torch.randn(4, LATENT)
    x = part(z).sample()
    torch.testing.assert_close(double(z).log_prob(torch.cat([x, x], -1)), 2 * part(z).log_prob(x))


@pytest.mark.parametrize("estimator", [Reparameterized(), AnalyticKL(), Score()])
def test_loss_is_minus_the_mean_objective(estimator: Reparameterized) -> None:
    model, x = model_and_data()
    estimate = estimator(model, x, ELBO(samples=3))
    torch.testing.assert_close(estimate.loss, -estimate.objective.mean())
    torch.testing.assert_close(estimate.objective, estimate.terms.elbo)
