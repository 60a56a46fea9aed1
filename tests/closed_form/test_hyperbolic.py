"""Distributions on the Poincaré ball: normalisation, geometry, samplers and gradients against quadrature."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from elbox import ELBO, VAE, Path, Reparameterized
from elbox.distributions import RiemannianNormal, WrappedNormal
from elbox.distributions.hyperbolic import Hyperbolic, exp_zero, log_zero, moebius
from elbox.distributions.riemannian_normal import radial, velocity
from elbox.errors import IncompatibleError
from elbox.likelihoods import Gaussian
from elbox.nn import MLP, Front, Gyroplanes, PoincareBall
from elbox.posteriors import RiemannianNormal as RiemannianPosterior
from elbox.posteriors import WrappedNormal as WrappedPosterior
from elbox.priors import RiemannianNormal as RiemannianPrior
from elbox.priors import WrappedNormal as WrappedPrior

FAMILIES = (WrappedNormal, RiemannianNormal)
RADII = [(1e-3, 1), (0.3, 1), (1.0, 1), (3.0, 1), (0.01, 9), (1.0, 9), (0.5, 49), (2.0, 99)]


def make(family: type[Hyperbolic], loc: Tensor, scale: float, c: float | Tensor) -> Hyperbolic:
    one = torch.tensor(scale, dtype=loc.dtype)
    spread = one * torch.linspace(1.0, 0.6, loc.shape[-1], dtype=loc.dtype) if family is WrappedNormal else one
    return family(loc, spread, c)


def distance(x: Tensor, y: Tensor, c: float) -> Tensor:
    """(1/√c) arcosh(1 + 2c|x − y|²/((1 − c|x|²)(1 − c|y|²))) (Mathieu et al., 2019, §2)."""
    rest = (1 - c * x.square().sum(-1)) * (1 - c * y.square().sum(-1))
    return torch.acosh(1 + 2 * c * (x - y).square().sum(-1) / rest) / math.sqrt(c)


def disc(c: float, rings: int = 800, turns: int = 256, reach: float = 16.0) -> tuple[Tensor, Tensor]:
    """Points of the disc of curvature −c and their areas dz, in polar coordinates about the origin, r a distance."""
    r, weight = (torch.as_tensor(a) for a in np.polynomial.legendre.leggauss(rings))
    r, weight = (r + 1) * reach / 2 / math.sqrt(c), weight * reach / 2 / math.sqrt(c)
    radius = torch.tanh(math.sqrt(c) * r / 2) / math.sqrt(c)
    jacobian = radius * 0.5 / torch.cosh(math.sqrt(c) * r / 2).square()
    turn = torch.arange(turns).double() / turns * 2 * math.pi
    points = radius[:, None, None] * torch.stack([turn.cos(), turn.sin()], -1)
    return points.flatten(0, 1), (weight * jacobian * 2 * math.pi / turns)[:, None].expand(rings, turns).flatten()


# ── geometry ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("c", [0.01, 1.0, 4.0])
def test_maps_are_inverse_and_keep_distances(c: float) -> None:
    torch.manual_seed(0)
    curvature = torch.tensor(c).double()
    x, y = (exp_zero(torch.randn(50, 3).double() / math.sqrt(c), curvature) for _ in range(2))
    torch.testing.assert_close(exp_zero(log_zero(x, curvature), curvature), x)
    torch.testing.assert_close(log_zero(x, curvature).norm(dim=-1), distance(torch.zeros_like(x), x, c))
    between = moebius(-x, y, curvature)
    torch.testing.assert_close(moebius(x, between, curvature), y)
    torch.testing.assert_close(log_zero(between, curvature).norm(dim=-1), distance(x, y, c), rtol=1e-6, atol=1e-7)


def test_ball_reads_distances() -> None:
    ball = PoincareBall(0.7)
    v = torch.tensor([[0.3, -0.4]])
    z = ball.at(v)
    torch.testing.assert_close(ball(z), v / (1 + math.sqrt(0.7) * 0.5 / 8))
    assert (0.7 * ball.at(1e6 * v).square().sum(-1) < 1).all()
    assert PoincareBall(0.7, learned=True).curvature.item() == pytest.approx(0.7)


def test_gyroplanes_measure_the_distance_to_a_plane() -> None:
    """Against the nearest of 20 000 points of the plane exp_p(a^⊥), signed; and affine where there is no curvature."""
    torch.manual_seed(0)
    c, layer = 0.8, Gyroplanes(2, 3, PoincareBall(0.8)).double()
    with torch.no_grad():
        layer.shift.copy_(torch.tensor([0.4, -0.7, 0.0]))
    z = exp_zero(torch.randn(5, 2).double(), torch.tensor(c).double())
    found = layer(z).detach()
    for k in range(3):
        unit = layer.normal[k].detach() / layer.normal[k].detach().norm()
        p = exp_zero(layer.shift[k].detach() * unit, torch.tensor(c).double())
        across = torch.linspace(-12, 12, 20_001).double()[:, None] * torch.tensor([-unit[1], unit[0]])
        plane = moebius(p.expand_as(across), exp_zero(across, torch.tensor(c).double()), torch.tensor(c).double())
        nearest = distance(z[:, None], plane, c).amin(-1)
        side = (moebius(-p, z, torch.tensor(c).double()) @ unit).sign()
        torch.testing.assert_close(found[:, k], side * nearest * layer.normal[k].detach().norm(), rtol=1e-4, atol=1e-4)
    flat = Gyroplanes(2, 3, PoincareBall(1e-8)).double()
    with torch.no_grad():
        flat.normal.copy_(layer.normal), flat.shift.copy_(layer.shift)
    length = layer.normal.norm(dim=-1)
    torch.testing.assert_close(flat(z), 2 * z @ layer.normal.T - layer.shift * length, rtol=1e-5, atol=1e-5)


# ── densities ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("c", [0.1, 1.0, 2.5])
@pytest.mark.parametrize("scale", [0.15, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_density_integrates_to_one(family: type[Hyperbolic], scale: float, c: float) -> None:
    """With respect to dz, about a point that is not the origin."""
    z, area = disc(c)
    q = make(family, torch.tensor([0.35, -0.2]).double() / math.sqrt(c), scale, c)
    assert (q.log_prob(z).exp() * area).sum().item() == pytest.approx(1, abs=2e-6)


def test_riemannian_density_falls_with_the_distance() -> None:
    c, loc, z = 0.6, torch.tensor([0.3, -0.2]).double(), disc(0.6, 7, 5, 4.0)[0]
    q = make(RiemannianNormal, loc, 0.8, c)
    by_volume = q.log_prob(z) - 2 * torch.log(2 / (1 - c * z.square().sum(-1)))
    expected = -distance(loc, z, c).square() / (2 * 0.8**2)
    torch.testing.assert_close(by_volume - by_volume[0], expected - expected[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("s", "m"), RADII)
def test_radial_normaliser(s: float, m: int) -> None:
    """Against 60 digits; its derivative is E[x²]/s³."""
    with mpmath.workdps(60):

        def f(x: float, power: int = 0) -> float:
            return x**power * mpmath.exp(-(x**2) / (2 * mpmath.mpf(s) ** 2)) * mpmath.sinh(x) ** m

        middle = float(m) * s * s + s * math.sqrt(m)
        edges = [0, middle / 2, middle, middle + 5 * s, middle + 20 * s]
        total, square = mpmath.quad(f, edges), mpmath.quad(lambda x: f(x, 2), edges)
        expected, expected_square = float(mpmath.log(total)), float(square / total)
    at = torch.tensor(s, dtype=torch.float64, requires_grad=True)
    found, found_square = radial(at, m)
    assert found.item() == pytest.approx(expected, rel=1e-11, abs=1e-10)
    assert found_square.item() == pytest.approx(expected_square, rel=1e-9)
    (slope,) = torch.autograd.grad(found, at)
    assert slope.item() == pytest.approx(expected_square / s**3, rel=1e-9)


@pytest.mark.parametrize(("s", "m"), RADII)
def test_radius_and_its_velocity(s: float, m: int) -> None:
    """Kolmogorov–Smirnov for the radius; dx/ds at a fixed value of the CDF against a difference quotient."""
    torch.manual_seed(0)
    grid = torch.linspace(0, float(m) * s * s + s * math.sqrt(m) + 12 * s, 1_000_001, dtype=torch.float64)[1:]

    def cdf(at: float) -> np.ndarray:
        log_f = -grid.square() / (2 * at * at) + m * (grid + torch.log(-torch.expm1(-2 * grid)))
        total = torch.cumsum(torch.exp(log_f - log_f.max()), 0)
        return (total / total[-1]).numpy()

    at = torch.full((20_000,), s, dtype=torch.float64)
    q = RiemannianNormal(torch.zeros(m + 1).double(), at, 1.0)
    x = q.tangent(torch.Size([20_000])).norm(dim=-1)
    assert stats.kstest(x.numpy(), lambda x: np.interp(x, grid.numpy(), cdf(s))).pvalue > 1e-3
    some = x[:20]
    step = 1e-3 * s / max(1.0, s * math.sqrt(m)) ** 1.5
    slope = (
        np.interp(some.numpy(), grid.numpy(), cdf(s + step)) - np.interp(some.numpy(), grid.numpy(), cdf(s - step))
    ) / (2 * step)
    log_f = -some.square() / (2 * s * s) + m * (some + torch.log(-torch.expm1(-2 * some)) - math.log(2))
    density = torch.exp(log_f - radial(at[0], m)[0])
    found = velocity(some, at[:20], m)
    torch.testing.assert_close(found, -torch.as_tensor(slope) / density, rtol=2e-3, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("n", "c"), [(2, 1.0), (5, 0.3), (10, 1.2)])
def test_samples_follow_the_density(family: type[Hyperbolic], n: int, c: float) -> None:
    """E_q[p(z)/q(z)] = 1 for another distribution p of the same family, narrower so that weights are bounded."""
    torch.manual_seed(0)
    loc = torch.linspace(0.4, -0.2, n, dtype=torch.float64) / math.sqrt(c * n)
    q, p = make(family, loc, 0.6, c), make(family, 0.9 * loc, 0.5, c)
    z = q.sample((100_000,))
    weight = (p.log_prob(z) - q.log_prob(z)).exp()
    assert abs(weight.mean().item() - 1) < 4 * weight.std().item() / math.sqrt(1e5)
    assert q.support.check(z).all()


def goal(z: Tensor) -> Tensor:
    weights = torch.linspace(-1.5, 2.0, 3 * z.shape[-1], dtype=z.dtype).reshape(z.shape[-1], 3)
    return torch.tanh(z @ weights).sum(-1) + z[..., 0] * z[..., -1] ** 2


@pytest.mark.parametrize("scale", [0.3, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_reparameterised_gradient_is_unbiased(family: type[Hyperbolic], scale: float) -> None:
    """∇ E_q[f(z)] for location, scale and curvature by 100 000 samples, against quadrature over the disc."""
    torch.manual_seed(1)
    points, area = disc(0.8, reach=18.0)
    start = [torch.tensor([0.3, -0.25]).double(), torch.tensor(scale).double(), torch.tensor(0.8).double()]

    def at(loc: Tensor, s: Tensor, c: Tensor) -> Hyperbolic:
        return family(loc, s[..., None].expand(loc.shape) if family is WrappedNormal else s, c)

    exact_at = [t.clone().requires_grad_() for t in start]
    points = points * (1 - 1e-9)
    exact = torch.autograd.grad((at(*exact_at).log_prob(points).exp() * area * goal(points)).sum(), exact_at)
    many, blocks = 1_000, []
    for _ in range(100):
        leaves = [t.clone().requires_grad_() for t in start]
        q = at(leaves[0].expand(many, 2), leaves[1].expand(many), leaves[2])
        blocks.append(torch.autograd.grad(goal(q.rsample()).mean(), leaves))
    for right, each in zip(exact, zip(*blocks, strict=True), strict=True):
        stacked = torch.stack(each)
        error = stacked.std(0) / math.sqrt(len(blocks))
        assert ((stacked.mean(0) - right).abs() < 4 * error + 1e-9).all(), (stacked.mean(0) - right) / error


@pytest.mark.parametrize("family", FAMILIES)
def test_mean_score_is_zero_in_all_parameters(family: type[Hyperbolic]) -> None:
    """Also in a learned curvature, because densities are with respect to dz: what Path and Score suppose."""
    torch.manual_seed(3)
    loc, s, c = (torch.tensor(a).double().requires_grad_() for a in ([0.3, -0.2], 0.7, 0.8))
    q = family(loc, s.expand(2) if family is WrappedNormal else s, c)
    z = q.sample((200_000,))
    grads = [
        torch.cat([g.reshape(-1) for g in torch.autograd.grad(q.log_prob(b).mean(), [loc, s, c], retain_graph=True)])
        for b in z.split(2_000)
    ]
    stacked = torch.stack(grads)
    assert (stacked.mean(0).abs() < 4 * stacked.std(0) / math.sqrt(len(stacked))).all()


@settings(deadline=None, max_examples=60)
@given(
    n=st.sampled_from([2, 3, 10, 50]),
    c=st.floats(-4, 1.5).map(lambda x: 10**x),
    far=st.floats(-3, 3).map(lambda x: 10**x),
    s=st.floats(-20, 20),
    posterior=st.sampled_from([WrappedPosterior, RiemannianPosterior]),
    seed=st.integers(0, 100),
)
def test_all_is_finite_in_single_precision(n, c, far, s, posterior, seed) -> None:
    """Whatever the network puts out: codes, log-densities and gradients, under both priors."""
    torch.manual_seed(seed)
    ball = PoincareBall(c, learned=True)
    shape = posterior.output_shape(n)
    h = torch.randn(4, *shape) * far
    h[..., -1] = s
    h.requires_grad_()
    q = posterior(torch.nn.Identity(), n, ball)(h)
    z = q.rsample((3,))
    total = z.sum() + q.log_prob(z).sum()
    for prior in (WrappedPrior, RiemannianPrior):
        total = total + prior(n, ball)().log_prob(z).sum()
    total = total + Gyroplanes(n, 3, ball)(z).sum() + ball(z).sum()
    assert z.dtype == torch.float32
    assert z.isfinite().all()
    assert total.isfinite()
    assert all(g.isfinite().all() for g in torch.autograd.grad(total, [h, *ball.parameters()]))
    assert q.support.check(z).all()


# ── in a model ───────────────────────────────────────────────────────────────────────────────────────────────────────


def model(ball: PoincareBall, other: PoincareBall | None = None) -> VAE:
    decoder = Front(Gyroplanes(2, 6, ball), MLP(6, [], 5))
    return VAE(WrappedPrior(2, other or ball), Gaussian(decoder), WrappedPosterior(MLP(5, [6], (2, 2)), 2, ball))


def test_one_ball_for_prior_and_posterior() -> None:
    x = torch.randn(3, 5)
    for learned in (False, True):
        ball = PoincareBall(1.0, learned=learned)
        loss, *_ = Path()(model(ball), x, ELBO())
        loss.backward()
        assert all(p.grad.isfinite().all() for p in ball.parameters())
        with pytest.raises(
            IncompatibleError, match=r"use a WrappedNormal prior over the Poincaré ball of curvature −1"
        ):
            Path()(model(ball, PoincareBall(2.0, learned=learned)), x, ELBO())


def test_a_dead_encoder_has_a_gradient() -> None:
    """exp_0 at 0 exactly, as behind rectifiers that are all 0."""
    ball, h = PoincareBall(0.8, learned=True), torch.zeros(2, 3, requires_grad=True)
    grads = torch.autograd.grad(ball.at(h).sum() + ball(ball.at(h)).sum(), [h, *ball.parameters()])
    assert all(g.isfinite().all() for g in grads)
    torch.testing.assert_close(grads[0], torch.full((2, 3), 1.5))


def test_path_and_reparameterised_gradients_of_a_learned_curvature_agree() -> None:
    torch.manual_seed(0)
    vae, x = model(PoincareBall(0.8, learned=True)).double(), torch.randn(200, 5).double()
    means = {}
    for estimator in (Reparameterized(), Path()):
        each = []
        for _ in range(150):
            loss, *_ = estimator(vae, x, ELBO(samples=20))
            each.append(torch.autograd.grad(loss, list(vae.posterior.ball.parameters()))[0])
        means[type(estimator)] = torch.stack(each)
    (a, b) = means.values()
    assert (a.mean() - b.mean()).abs() < 4 * math.hypot(a.std(), b.std()) / math.sqrt(150)
