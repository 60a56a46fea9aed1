"""Distributions on spheres: normalisers against high precision, samplers, gradients and KLs against quadrature."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import beta as beta_function
from torch import Tensor
from torch.distributions import kl_divergence

from elbox.distributions import HypersphericalUniform, OnSpheres, PowerSpherical, VonMises, VonMisesFisher
from elbox.distributions.axial import Axial, log_area

FAMILIES = (VonMisesFisher, PowerSpherical)
GRID = [(d, kappa) for d in (2, 3, 5, 20, 100, 1000) for kappa in (1e-3, 0.5, 3.0, 30.0, 1e3, 1e5, 1e8)]
FEW = [(2, 0.5), (2, 40.0), (3, 2.0), (5, 1.0), (5, 300.0), (20, 10.0), (20, 1e4), (1000, 100.0), (1000, 1e5)]


def direction(d: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.nn.functional.normalize(torch.linspace(1, -0.4, d, dtype=dtype), dim=0)


def make(family: type[Axial], d: int, kappa: float, dtype: torch.dtype = torch.float64) -> Axial:
    return family(direction(d, dtype), torch.tensor(kappa, dtype=dtype, requires_grad=True))


def exact(family: type[Axial], d: int, kappa: float) -> tuple[float, float, float]:
    """L(κ), E[η] and Var[η] in 80 digits, from Bessel functions or gamma functions."""
    with mpmath.workdps(80):
        k, n = mpmath.mpf(kappa), mpmath.mpf(d - 1)
        if family is VonMisesFisher:
            nu = (n - 1) / 2
            i, ratio = mpmath.besseli(nu, k), mpmath.besseli(nu + 1, k) / mpmath.besseli(nu, k)
            deficit = k - mpmath.log(mpmath.gamma(nu + 1) * (2 / k) ** nu * i)
            return float(deficit), float(ratio - 1), float(1 - ratio**2 - n * ratio / k)
        a, b = n / 2 + k, n / 2
        deficit = mpmath.log(mpmath.beta(b, b) / mpmath.beta(a, b))
        mean = mpmath.digamma(a) - mpmath.digamma(a + b)
        return float(deficit), float(mean), float(mpmath.psi(1, a) - mpmath.psi(1, a + b))


@pytest.mark.parametrize(("d", "kappa"), GRID)
@pytest.mark.parametrize("family", FAMILIES)
def test_normaliser_and_two_derivatives(family: type[Axial], d: int, kappa: float) -> None:
    """Against 80 digits, to nine digits, from d = 2 to 1000 and κ from 10⁻³ to 10⁸."""
    q, (deficit, mean, variance) = make(family, d, kappa), exact(family, d, kappa)
    found, found_mean = q.partition()
    (slope,) = torch.autograd.grad(found, q.concentration, retain_graph=True)
    (curvature,) = torch.autograd.grad(found_mean, q.concentration)
    assert found.item() == pytest.approx(deficit, rel=1e-10, abs=1e-11)
    assert found_mean.item() == pytest.approx(mean, rel=1e-8)
    assert slope.item() == pytest.approx(-mean, rel=1e-8)
    assert curvature.item() == pytest.approx(variance, rel=1e-7)


@pytest.mark.parametrize(("d", "kappa"), [(2, 0.5), (3, 2.0), (5, 30.0), (20, 100.0), (50, 1000.0)])
def test_density_is_that_of_scipy(d: int, kappa: float) -> None:
    q = make(VonMisesFisher, d, kappa)
    z = q.sample((50,))
    expected = stats.vonmises_fisher(q.loc.numpy(), kappa).logpdf(z.numpy())
    torch.testing.assert_close(q.log_prob(z).detach(), torch.as_tensor(expected), rtol=1e-9, atol=1e-9)
    assert q.entropy().item() == pytest.approx(stats.vonmises_fisher(q.loc.numpy(), kappa).entropy(), abs=1e-9)


def test_density_on_the_circle_is_von_mises() -> None:
    angle = torch.linspace(-3, 3, 50, dtype=torch.float64)
    q = VonMisesFisher(torch.tensor([math.cos(0.7), math.sin(0.7)]).double(), torch.tensor(2.5).double())
    expected = VonMises(torch.tensor(0.7).double(), torch.tensor(2.5).double()).log_prob(angle)
    torch.testing.assert_close(q.log_prob(torch.stack([angle.cos(), angle.sin()], -1)), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("d", "kappa"), [(2, 3.0), (3, 0.0), (3, 7.0), (6, 20.0)])
def test_density_integrates_to_one(family: type[Axial], d: int, kappa: float) -> None:
    """∫ q dS = S_{d−1} ∫ q(t) (1 − t²)^{(d−3)/2} dt, by the trapezoid rule over angles; S_1 = 2: two arcs."""
    q = make(family, d, kappa)
    angle = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    side = torch.linalg.svd(q.loc[None]).Vh[-1]  # orthogonal to μ
    z = angle.cos()[:, None] * q.loc + angle.sin()[:, None] * side
    ring = log_area(d - 1) if d > 2 else math.log(2)
    density = q.log_prob(z).exp() * angle.sin() ** (d - 2) * math.exp(ring)
    assert torch.trapezoid(density, angle).item() == pytest.approx(1, abs=1e-6)


def cosine_cdf(family: type[Axial], d: int, kappa: float):
    """The CDF of t = μᵀz, by 40 000 nodes over the angle; of the power spherical distribution that of a beta."""
    if family is PowerSpherical:
        return lambda t: stats.beta((d - 1) / 2 + kappa, (d - 1) / 2).cdf((1 + t) / 2)
    q = make(family, d, kappa)
    u = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
    log_f = -(d - 1) * torch.logaddexp(u, -u) + kappa * q.statistic(u)
    f = torch.exp(log_f - log_f.max())
    cdf = torch.cumsum(f, 0) / f.sum()
    return lambda t: 1 - np.interp(-np.arctanh(t), u.numpy(), cdf.numpy())


@pytest.mark.parametrize(("d", "kappa"), [*FEW, (2, 0.0), (4, 0.0)])
@pytest.mark.parametrize("family", FAMILIES)
def test_samples_follow_the_density(family: type[Axial], d: int, kappa: float) -> None:
    """Kolmogorov–Smirnov for the cosine to the axis; what is orthogonal to it is uniform."""
    torch.manual_seed(0)
    q, size = make(family, d, kappa), 4_000 if d == 1000 else 20_000
    z = q.sample((size,))
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(size).double())
    t = (z @ q.loc).clamp(-1 + 1e-15, 1 - 1e-15)
    if kappa < 1e4:  # beyond, t itself has too few digits
        assert stats.kstest(t.numpy(), cosine_cdf(family, d, kappa)).pvalue > 1e-3
    gap = (z - q.loc).square().sum(-1) / 2
    mean = q.partition()[1].item() if family is VonMisesFisher else None
    if mean is not None:
        assert abs(gap.mean().item() + mean) < 4 * gap.std().item() / math.sqrt(size)
    side = torch.nn.functional.normalize(z - (z @ q.loc)[:, None] * q.loc, dim=-1)
    spread = math.sqrt(1 / (d - 1) / size)
    assert side.mean(0).norm().item() < 5 * math.sqrt(d) * spread


@pytest.mark.parametrize(("d", "kappa"), [*FEW, (3, 1e-6), (2, 1e5)])
@pytest.mark.parametrize("family", FAMILIES)
def test_velocity_of_a_sample(family: type[Axial], d: int, kappa: float) -> None:
    """du/dκ at a fixed value of the CDF, against a difference quotient of the CDF itself, by the trapezoid rule."""
    q = make(family, d, kappa)
    near = q.middle(torch.tensor(kappa).double())
    u = near + torch.tensor([-3.0, -1.0, -0.2, 0.0, 0.3, 0.7, 1.2], dtype=torch.float64) / math.sqrt(d - 1)
    found = q.velocity(u, torch.tensor(kappa).double(), q.partition()[1].detach())
    step = 1e-4 * max(kappa, 1e-3)
    grid = near + torch.linspace(-45, 45, 1_800_001, dtype=torch.float64) / math.sqrt(d - 1)

    def log_f(v: Tensor, k: float) -> Tensor:
        return -(d - 1) * torch.logaddexp(v, -v) + k * q.statistic(v)

    def below(k: float) -> tuple[np.ndarray, float]:
        top = log_f(near, k)
        f = torch.exp(log_f(grid, k) - top)
        total = torch.cumulative_trapezoid(f, grid)
        mass = np.interp(u.numpy(), grid[1:].numpy(), total.numpy()) / total[-1].item()
        return mass, (top + total[-1].log()).item()

    slope = (below(kappa + step)[0] - below(kappa - step)[0]) / (2 * step)
    density = torch.exp(log_f(u, kappa) - below(kappa)[1])
    torch.testing.assert_close(found, -torch.as_tensor(slope) / density, rtol=2e-4, atol=1e-6 * found.abs().max())


@pytest.mark.parametrize("kappa", [1e-3, 0.7, 20.0, 1e4])
def test_velocity_in_three_dimensions_is_in_closed_form(kappa: float) -> None:
    """On S² F(t) = (e^{κt} − e^{−κ})/(e^κ − e^{−κ}), whose inverse can be differentiated: t(κ) at fixed F = p."""
    p = torch.tensor([0.01, 0.2, 0.5, 0.9, 0.999], dtype=torch.float64)
    k = torch.tensor(kappa, dtype=torch.float64, requires_grad=True)
    gap = -torch.log(p + (1 - p) * torch.exp(-2 * k)) / k  # 1 − t
    slopes = torch.stack([-torch.autograd.grad(g, k, retain_graph=True)[0] for g in gap])  # dt/dκ
    q, u = make(VonMisesFisher, 3, kappa), 0.5 * torch.log(gap / (2 - gap)).detach()
    found = -q.velocity(u, k.detach(), q.partition()[1].detach()) / torch.cosh(u).square()  # dt = −sech² u du
    torch.testing.assert_close(found, slopes, rtol=1e-7, atol=0)


def grid_on_sphere(size: int = 400) -> tuple[Tensor, Tensor]:
    """Points [n, 3] of S² and their areas."""
    cosine, weight = (torch.as_tensor(a) for a in np.polynomial.legendre.leggauss(size))
    turn = torch.arange(2 * size).double() / size * math.pi
    sine = (1 - cosine.square()).sqrt()
    points = torch.stack(
        torch.broadcast_tensors(sine[:, None] * turn.cos(), sine[:, None] * turn.sin(), cosine[:, None]), -1
    )
    return points.flatten(0, 1), (weight[:, None] * math.pi / size).expand(size, 2 * size).flatten()


def goal(z: Tensor) -> Tensor:
    """A smooth function on the sphere without any symmetry."""
    weights = torch.linspace(-1.5, 2.0, 3 * z.shape[-1], dtype=z.dtype).reshape(z.shape[-1], 3)
    return torch.tanh(z @ weights).sum(-1) + z[..., 0] * z[..., -1] ** 2


@pytest.mark.parametrize("kappa", [0.2, 2.0, 15.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_reparameterised_gradient_is_unbiased(family: type[Axial], kappa: float) -> None:
    """∇ E_q[f(z)] by 100 000 samples against quadrature over the sphere, for κ and a μ that is a network's output."""
    torch.manual_seed(1)
    raw = torch.tensor([0.6, -1.0, 0.8], dtype=torch.float64, requires_grad=True)
    k = torch.tensor(kappa, dtype=torch.float64, requires_grad=True)
    points, area = grid_on_sphere()

    def at(raw: Tensor, k: Tensor) -> Axial:
        return family(torch.nn.functional.normalize(raw, dim=-1), k)

    exact = torch.autograd.grad((at(raw, k).log_prob(points).exp() * area * goal(points)).sum(), [raw, k])
    many = 100_000
    raws, ks = (t.detach().expand(many, *t.shape).clone().requires_grad_() for t in (raw, k))
    grads = torch.autograd.grad(goal(at(raws, ks).rsample()).sum(), [raws, ks])
    for right, each in zip(exact, grads, strict=True):
        error = each.std(0) / math.sqrt(many)
        assert ((each.mean(0) - right).abs() < 4 * error + 1e-12).all(), (each.mean(0) - right) / error


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 8])
@pytest.mark.parametrize("family", FAMILIES)
def test_reparameterised_gradient_is_that_of_the_score(family: type[Axial], d: int) -> None:
    """In other dimensions, against E[f ∇ log q] of the same samples, in both parameters."""
    torch.manual_seed(2)
    many, raw = 200_000, torch.linspace(1.0, -0.5, d, dtype=torch.float64)
    raws = raw.expand(many, d).clone().requires_grad_()
    ks = torch.full((many,), 4.0, dtype=torch.float64, requires_grad=True)
    q = family(torch.nn.functional.normalize(raws, dim=-1), ks)
    z = q.rsample()
    paths = torch.autograd.grad(goal(z).sum(), [raws, ks], retain_graph=True)
    value = goal(z.detach())
    scores = torch.autograd.grad(((value - value.mean()) * q.log_prob(z.detach())).sum(), [raws, ks])
    for path, score in zip(paths, scores, strict=True):
        error = (path - score).std(0) / math.sqrt(many)
        assert ((path - score).mean(0).abs() < 4 * error).all()


@pytest.mark.parametrize(("d", "kappa"), FEW)
@pytest.mark.parametrize("family", FAMILIES)
def test_kl_to_the_uniform(family: type[Axial], d: int, kappa: float) -> None:
    """Against samples within 4 standard errors, and against the formulas of the papers."""
    torch.manual_seed(0)
    q, p = make(family, d, kappa), HypersphericalUniform(d, torch.zeros((), dtype=torch.float64))
    kl = kl_divergence(q, p)
    size = 2_000 if d == 1000 else 100_000
    z = q.sample((size,))
    each = (q.log_prob(z) - p.log_prob(z)).detach()
    assert abs(each.mean().item() - kl.item()) < 4 * each.std().item() / math.sqrt(size) + 1e-9
    torch.testing.assert_close(kl, log_area(d) - q.entropy())
    if family is PowerSpherical and kappa < 1e4:  # De Cao & Aziz (2020), from gamma functions
        a, b = (d - 1) / 2 + kappa, (d - 1) / 2
        log_n = -(math.log(2) * (a + b) + b * math.log(math.pi) + math.lgamma(a) - math.lgamma(a + b))
        expected = log_n + kappa * (math.log(2) + exact(family, d, kappa)[1]) + log_area(d)
        assert kl.item() == pytest.approx(expected, rel=1e-8)


def test_no_rate_at_no_concentration() -> None:
    for family in FAMILIES:
        q = make(family, 7, 0.0)
        kl = kl_divergence(q, HypersphericalUniform(7, torch.zeros(())))
        assert abs(kl.item()) < 1e-12
        (slope,) = torch.autograd.grad(kl, q.concentration)
        assert slope.item() == pytest.approx(0, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    d=st.sampled_from([2, 3, 4, 17, 256, 1000]),
    kappa=st.floats(-8, 7).map(lambda x: 10**x),
    family=st.sampled_from(FAMILIES),
    seed=st.integers(0, 100),
)
def test_all_is_finite_in_single_precision(d: int, kappa: float, family: type[Axial], seed: int) -> None:
    torch.manual_seed(seed)
    raw = torch.randn(3, d, requires_grad=True)
    k = torch.full((3,), kappa, requires_grad=True)
    q = family(torch.nn.functional.normalize(raw, dim=-1), k)
    z = q.rsample((5,))
    kl = kl_divergence(q, HypersphericalUniform(d, torch.zeros(3)))
    total = (z * torch.randn(d)).sum() + q.log_prob(z).sum() + kl.sum() + q.log_prob(-q.loc).sum()
    gradients = torch.autograd.grad(total, [raw, k])
    for t in (z, kl, q.entropy(), q.log_prob(z), *gradients):
        assert t.dtype == torch.float32
        assert t.isfinite().all()
    assert (kl > -1e-4).all()
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(5, 3))


@pytest.mark.parametrize("kappa", [1.0, 1e3, 1e5])
@pytest.mark.parametrize("d", [2, 20, 1000])
def test_density_in_single_precision(d: int, kappa: float) -> None:
    """Nothing of the size of κ cancels."""
    torch.manual_seed(0)
    q = make(VonMisesFisher, d, kappa, torch.float32)
    z = q.sample((20,))
    wide = VonMisesFisher(q.loc.double(), q.concentration.double())
    torch.testing.assert_close(q.log_prob(z).double(), wide.log_prob(z.double()), rtol=1e-6, atol=1e-4)


def test_products_of_spheres() -> None:
    torch.manual_seed(0)
    base = VonMisesFisher(torch.nn.functional.normalize(torch.randn(4, 3, 5), dim=-1), torch.rand(4, 3) * 10)
    q, p = OnSpheres(base), OnSpheres(HypersphericalUniform(5, torch.zeros(3)))
    z = q.rsample((2,))
    assert (q.batch_shape, q.event_shape, z.shape) == ((4,), (15,), (2, 4, 15))
    torch.testing.assert_close(q.log_prob(z), base.log_prob(z.unflatten(-1, (3, 5))).sum(-1))
    torch.testing.assert_close(kl_divergence(q, p), base.rate().sum(-1))
    assert q.support == p.support == OnSpheres(HypersphericalUniform(5, torch.zeros(3))).support
    assert q.support.check(z).all()
    assert p.support != OnSpheres(HypersphericalUniform(3, torch.zeros(5))).support
    assert q.expand((6, 4)).sample().shape == (6, 4, 15)
    assert (p.sample((3,)).norm(dim=-1) - math.sqrt(3)).abs().max() < 1e-5


def test_areas() -> None:
    assert log_area(2) == pytest.approx(math.log(2 * math.pi))
    assert log_area(3) == pytest.approx(math.log(4 * math.pi))
    assert beta_function(0.5, 0.5) == pytest.approx(math.pi)
