"""Families beyond the normal: densities, samplers, reparameterised gradients and KLs against scipy and quadrature."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.distributions import (
    Beta,
    Chi2,
    Dirichlet,
    Distribution,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
    Pareto,
    StudentT,
    kl_divergence,
)

from elbox import IncompatibleError
from elbox.distributions import (
    Logistic,
    MultivariateStudentT,
    Rayleigh,
    Triangular,
    Uniform,
    VonMises,
    Weibull,
    diagonal_normal,
)
from elbox.distributions.families import FAMILIES, parameters
from elbox.distributions.support import check_rate
from elbox.posteriors import Factorized, FullStudentT
from tests.closed_form.families import CASES, IDS, POINTS, SCIPY, Values, leaves, nodes
from tests.closed_form.test_distributions import Say

OWN = (Logistic, Rayleigh, Triangular, Uniform, VonMises, Weibull)


def of(family: type[Distribution], i: int) -> tuple[Distribution, dict[str, Tensor]]:
    at = leaves(POINTS[family][i])
    return family(**at), at


def turned(z: Tensor, by: float) -> Tensor:
    return torch.remainder(z - by + math.pi, 2 * math.pi) - math.pi


# ── densities and samplers ───────────────────────────────────────────────────────────────────────────────────────────


def test_every_family_is_here() -> None:
    assert set(POINTS) == set(SCIPY) == set(FAMILIES) - {Dirichlet}
    for family, points in POINTS.items():
        assert all(set(p) == set(FAMILIES[family]) for p in points)


@pytest.mark.parametrize(("family", "i"), CASES, ids=IDS)
def test_density_is_that_of_scipy(family: type[Distribution], i: int) -> None:
    d, _ = of(family, i)
    z = d.sample((1000,))
    if family is Beta:
        z = z.clamp(1e-12, 1 - 1e-12)
    expected = torch.as_tensor(SCIPY[family](**POINTS[family][i]).logpdf(z))
    torch.testing.assert_close(d.log_prob(z).detach(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("family", "i"), CASES, ids=IDS)
def test_density_integrates_to_one(family: type[Distribution], i: int) -> None:
    d, at = of(family, i)
    z, volume = nodes(family, at)
    assert (d.log_prob(z).exp() * volume).sum().item() == pytest.approx(1, abs=2e-7)


@pytest.mark.parametrize(("family", "i"), CASES, ids=IDS)
def test_samples_follow_the_cdf(family: type[Distribution], i: int) -> None:
    """Kolmogorov–Smirnov, 20 000 samples; angles are turned to their peak first."""
    d, values = of(family, i)[0], POINTS[family][i]
    z, cdf = d.sample((20_000,)), SCIPY[family](**values).cdf
    if family is VonMises:
        assert ((z >= -math.pi) & (z < math.pi)).all()
        z, cdf = turned(z, values["loc"]), SCIPY[family](0.0, values["concentration"]).cdf
    assert stats.kstest(z.numpy(), cdf).pvalue > 1e-3


@pytest.mark.parametrize("family", OWN)
def test_moments_entropy_and_cdf_are_the_integrals(family: type[Distribution]) -> None:
    for i in range(len(POINTS[family])):
        d, at = of(family, i)
        z, volume = nodes(family, at)
        weight = d.log_prob(z).exp() * volume
        torch.testing.assert_close(d.entropy(), -(weight * d.log_prob(z)).sum(), rtol=1e-6, atol=1e-7)
        if family is VonMises:  # the circular variance
            about = 2 * ((z - at["loc"]) / 2).sin().square()
            torch.testing.assert_close(d.variance, (weight * about).sum(), rtol=1e-6, atol=0)
            continue
        torch.testing.assert_close(d.mean, (weight * z).sum(), rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(d.variance, (weight * (z - d.mean).square()).sum(), rtol=1e-6, atol=0)
        some = d.sample((100,))
        torch.testing.assert_close(d.cdf(some), torch.as_tensor(SCIPY[family](**POINTS[family][i]).cdf(some)))
        if hasattr(type(d), "icdf") and family in (Logistic, Rayleigh, Weibull):
            torch.testing.assert_close(d.icdf(d.cdf(some)), some)


@pytest.mark.parametrize("family", [Uniform, Triangular])
def test_no_density_outside(family: type[Distribution]) -> None:
    d = family(torch.tensor(1.0), torch.tensor(2.0))
    assert (d.log_prob(torch.tensor([-1.01, 3.01])) == -torch.inf).all()


@pytest.mark.parametrize("family", [*OWN, MultivariateStudentT])
def test_expand(family: type[Distribution]) -> None:
    if family is MultivariateStudentT:
        d = family(torch.tensor([5.0, 6.0]), torch.zeros(2, 3), torch.eye(3))
    else:
        d = family(**{n: torch.full((2,), v) for n, v in POINTS[family][0].items()})
    wide = d.expand((4, 2))
    assert wide.batch_shape == (4, 2)
    z = wide.sample()
    torch.testing.assert_close(wide.log_prob(z), torch.stack([d.log_prob(row) for row in z]))


@pytest.mark.parametrize("kappa", [1e-30, 1e-8, 1e-3, 1.0, 1e3, 1e5, 1e7])
def test_von_mises_at_the_extremes(kappa: float) -> None:
    """In single precision: the density and its derivative to κ, cos(z − μ) − A(κ), against double precision."""
    found = []
    for dtype in (torch.float32, torch.float64):
        k = torch.tensor(kappa, dtype=dtype, requires_grad=True)
        angle = torch.tensor([0.0, 0.5, 1.0, 3.0], dtype=dtype) / max(1.0, math.sqrt(kappa))
        d = VonMises(torch.zeros((), dtype=dtype), k)
        slopes = [torch.autograd.grad(v, k, retain_graph=True)[0].double() for v in d.log_prob(angle)]
        found.append((d.log_prob(angle).detach().double(), torch.stack(slopes)))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-5)
    largest = found[1][1].abs().max().item()
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-3 * largest)


def test_von_mises_does_not_wait_for_a_network_that_fails() -> None:
    """torch's sampler never returns from κ = NaN."""
    z = VonMises(torch.zeros(3), torch.tensor([1.0, torch.nan, 2.0])).rsample()
    assert z.isnan().tolist() == [False, True, False]


# ── gradients of samples ─────────────────────────────────────────────────────────────────────────────────────────────

LINE: dict[str, Callable[[Tensor], Tensor]] = {  # smooth, of order one, and flat in the tails
    "tanh": lambda u: torch.tanh(u / 2),
    "bump": lambda u: torch.exp(-u.square() / 2),
    "odd": lambda u: u / (1 + u.square()),
    "arctan": lambda u: torch.arctan(2 * u),
}
CIRCLE: dict[str, Callable[[Tensor], Tensor]] = {
    "sine": torch.sin,
    "cosine": torch.cos,
    "exponential": lambda z: torch.exp(torch.sin(2 * z)),
    "thrice": lambda z: torch.cos(3 * z + 1),
}


def functions(family: type[Distribution], values: Values) -> dict[str, Callable[[Tensor], Tensor]]:
    """In units of the distribution's own spread."""
    if family is VonMises:
        return CIRCLE
    d = SCIPY[family](**values)
    middle, width = d.median(), d.ppf(0.75) - d.ppf(0.25)
    return {n: functools.partial(lambda f, z: f((z - middle) / width), f) for n, f in LINE.items()}


@pytest.mark.parametrize(("family", "i"), CASES, ids=IDS)
def test_gradient_of_an_expectation(family: type[Distribution], i: int) -> None:
    """∂/∂θ E[f(z)] is the mean of f'(z) ∂z/∂θ over many samples, within 5 standard errors, for every parameter."""
    values, n = POINTS[family][i], 40_000 if family is VonMises else 200_000
    for name, f in functions(family, values).items():
        d, at = of(family, i)
        z, volume = nodes(family, at)
        exact = torch.autograd.grad((d.log_prob(z).exp() * volume * f(z)).sum(), list(at.values()))
        torch.manual_seed(1)
        each = {k: v.detach().expand(n).clone().requires_grad_() for k, v in at.items()}
        found = torch.autograd.grad(f(family(**each).rsample()).sum(), list(each.values()))
        for parameter, right, samples in zip(at, exact, found, strict=True):
            error = samples.std() / math.sqrt(n)
            slack = 1e-9 + 1e-3 * samples.abs().mean()  # torch's derivatives of gamma samples are approximate to that
            assert (samples.mean() - right).abs() < 5 * error + slack, (name, parameter)


@pytest.mark.parametrize("concentration", [(0.1, 0.2), (0.3, 0.4, 5.0), (1.0, 1.0, 1.0), (300.0, 20.0, 1.0, 700.0)])
def test_gradient_of_dirichlet_and_beta_moments(concentration: tuple[float, ...]) -> None:
    """E[z_i] = α_i/α₀ and E[z_i z_j] = α_i (α_j + δ_ij) / α₀(α₀ + 1), also for small α, where quadrature is hard."""
    n, alpha = 200_000, torch.tensor(concentration, dtype=torch.float64, requires_grad=True)
    weight, matrix = torch.randn(len(alpha)).double(), torch.randn(len(alpha), len(alpha)).double()
    total = alpha.sum()
    second = (alpha[:, None] * alpha + torch.diag(alpha)) / (total * (total + 1))
    (exact,) = torch.autograd.grad((weight * alpha).sum() / total + (matrix * second).sum(), alpha)
    each = alpha.detach().expand(n, -1).clone().requires_grad_()
    z = Dirichlet(each).rsample()
    (found,) = torch.autograd.grad(((z * weight).sum(-1) + ((z @ matrix) * z).sum(-1)).sum(), each)
    slack = 2e-3 * found.abs().mean(0)
    assert ((found.mean(0) - exact).abs() < 5 * found.std(0) / math.sqrt(n) + slack).all()


def test_von_mises_derivative_is_that_of_its_quantiles() -> None:
    """∂z/∂κ at fixed F(z), by differences of scipy's quantile function."""
    for kappa, h in ((0.01, 1e-5), (0.5, 1e-5), (4.0, 1e-4), (30.0, 1e-3)):
        k = torch.full((200,), kappa, dtype=torch.float64, requires_grad=True)
        z = VonMises(torch.zeros(200).double(), k).rsample()
        (found,) = torch.autograd.grad(z.sum(), k)
        u = stats.vonmises(kappa).cdf(z.detach().numpy())
        expected = (stats.vonmises(kappa + h).ppf(u) - stats.vonmises(kappa - h).ppf(u)) / (2 * h)
        torch.testing.assert_close(found, torch.as_tensor(expected), rtol=1e-4, atol=1e-5)


def test_angle_as_a_number_has_a_biased_gradient() -> None:
    """Why a likelihood must read angles through `Angles`: f(z) = z jumps where π meets −π."""
    loc = torch.full((100_000,), 2.5, dtype=torch.float64, requires_grad=True)
    d = VonMises(loc, torch.ones_like(loc))
    (found,) = torch.autograd.grad(d.rsample().sum(), loc)
    z, volume = nodes(VonMises, {"loc": torch.tensor(0.0), "concentration": torch.tensor(1.0)})
    at = torch.tensor(2.5, dtype=torch.float64, requires_grad=True)
    density = VonMises(at, torch.ones_like(at)).log_prob(z).exp()
    (exact,) = torch.autograd.grad((density * volume * z).sum(), at)
    assert found.mean().item() == pytest.approx(1)
    assert abs(exact.item() - 1) > 1


# ── Student's t in several dimensions ────────────────────────────────────────────────────────────────────────────────

FACTOR = torch.tensor([[0.8, 0.0, 0.0], [0.3, 1.2, 0.0], [-0.5, 0.4, 0.6]], dtype=torch.float64)


def student(df: float) -> MultivariateStudentT:
    return MultivariateStudentT(torch.tensor(df).double(), torch.tensor([0.3, -1.0, 2.0]).double(), FACTOR)


@pytest.mark.parametrize("df", [1.0, 3.0, 8.0])
def test_multivariate_student_is_that_of_scipy(df: float) -> None:
    d = student(df)
    z = d.sample((100,))
    right = stats.multivariate_t(d.loc.numpy(), (FACTOR @ FACTOR.T).numpy(), df)
    torch.testing.assert_close(d.log_prob(z), torch.as_tensor(right.logpdf(z)))
    assert d.entropy().item() == pytest.approx(float(right.entropy()))


@pytest.mark.parametrize("df", [1.0, 3.0, 8.0])
def test_multivariate_student_samples(df: float) -> None:
    """|L⁻¹(z − μ)|²/D follows F(D, ν), and every projection is a t distribution."""
    d = student(df)
    z = d.sample((20_000,))
    y = torch.linalg.solve_triangular(FACTOR, (z - d.loc).T, upper=False)
    assert stats.kstest((y.square().sum(0) / 3).numpy(), stats.f(3, df).cdf).pvalue > 1e-3
    onto = torch.tensor([0.5, -1.0, 2.0]).double()
    width = (FACTOR.T @ onto).norm().item()
    assert stats.kstest((z @ onto).numpy(), stats.t(df, (d.loc @ onto).item(), width).cdf).pvalue > 1e-3


def test_multivariate_student_gradients() -> None:
    """A projection aᵀz is a t distribution of scale |Lᵀa|: its gradients to ν, μ and L by quadrature in 1-D."""
    n, onto = 200_000, torch.tensor([0.5, -1.0, 2.0]).double()
    at = [t.detach().requires_grad_() for t in (torch.tensor(2.5).double(), student(2.5).loc, FACTOR)]
    one = {"loc": at[1] @ onto, "scale": (at[2].T @ onto).norm(), "df": at[0]}
    z, volume = nodes(StudentT, one)
    for f in LINE.values():
        mean = (StudentT(**one).log_prob(z).exp() * volume * f(z / 3)).sum()
        exact = torch.autograd.grad(mean, at, retain_graph=True)
        each = [t.detach().expand(n, *t.shape).clone().requires_grad_() for t in at]
        found = torch.autograd.grad(f(MultivariateStudentT(*each).rsample() @ onto / 3).sum(), each)
        for right, samples in zip(exact, found, strict=True):
            error = samples.std(0) / math.sqrt(n)
            assert ((samples.mean(0) - right).abs() < 5 * error + 1e-5).all()


def test_multivariate_student_becomes_normal() -> None:
    z = torch.randn(5, 3, dtype=torch.float64)
    d = student(1e7)
    torch.testing.assert_close(
        d.log_prob(z), MultivariateNormal(d.loc, scale_tril=FACTOR).log_prob(z), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(d.variance, (FACTOR @ FACTOR.T).diagonal(), rtol=1e-6, atol=0)


# ── KL divergences ───────────────────────────────────────────────────────────────────────────────────────────────────


def closed(q: type[Distribution], p: type[Distribution]) -> bool:
    """Whether a pair that may meet has a KL in closed form."""
    one, other = (f(**leaves(POINTS[f][0])) for f in (q, p))
    try:
        check_rate(one, other)
        kl_divergence(one, other)
    except (IncompatibleError, NotImplementedError):
        return False
    return True


CLOSED = [(q, p) for q, p in itertools.product(POINTS, POINTS) if closed(q, p)]


def test_closed_forms_are_those_of_the_documentation() -> None:
    names = {(q.__name__, p.__name__) for q, p in CLOSED}
    assert {(q, p) for q, p in names if p == "Normal"} == {
        (q, "Normal") for q in ("Normal", "Laplace", "Logistic", "Gumbel", "StudentT", "Uniform", "Triangular")
    }
    positive = ("Exponential", "Gamma", "Chi2", "HalfNormal", "LogNormal", "Pareto", "Rayleigh", "Weibull")
    for p in ("Exponential", "Gamma", "LogNormal"):
        assert {q for q, other in names if other == p} == set(positive)
    assert {q.__name__ for q in POINTS} - {q for q, p in names if q == p} == {
        "Logistic",
        "StudentT",
        "Uniform",
        "Triangular",
        "FisherSnedecor",
        "Pareto",
    }


def between(family: type[Distribution]) -> list[Values]:
    """Points whose scales are not so far apart that one grid cannot resolve both."""
    if "loc" in POINTS[family][0] and family is not VonMises:
        near = [p for p in POINTS[family] if p["scale"] == 0.7]
        return [*near, *({**p, "loc": -1.0, "scale": 2.0} for p in near)]
    return POINTS[family]


@pytest.mark.parametrize(("q", "p"), CLOSED, ids=[f"{q.__name__}-{p.__name__}" for q, p in CLOSED])
def test_kl_is_the_integral(q: type[Distribution], p: type[Distribution]) -> None:
    """Value and gradient to all parameters of both, wherever the divergence is finite."""
    rough = 5e-3 if Laplace in (q, p) else 1e-4  # kinks
    for a, b in itertools.product(between(q), between(p)):
        at, under = leaves(a), leaves(b)
        one, other = q(**at), p(**under)
        found = kl_divergence(one, other)
        if not found < 1e100:
            continue
        z, volume = nodes(q, at)
        log_q = one.log_prob(z)
        integral = (log_q.exp() * (log_q - other.log_prob(z)) * volume).sum()
        torch.testing.assert_close(found, integral, rtol=1e-5, atol=1e-6)
        every = [*at.values(), *under.values()]
        slopes = [torch.autograd.grad(v, every, retain_graph=True) for v in (found, integral)]
        for slope, right in zip(*slopes, strict=True):
            torch.testing.assert_close(slope, right, rtol=rough, atol=rough)


def test_elliptical_kl_is_the_mean_over_samples() -> None:
    q, p = student(8.0), diagonal_normal(torch.tensor([0.5, 0.0, 1.0]).double(), torch.tensor([1.0, 2.0, 3.0]).double())
    z = q.sample((1_000_000,))
    ratio = q.log_prob(z) - p.log_prob(z)
    assert abs(ratio.mean() - kl_divergence(q, p)) < 3 * ratio.std() / 1000
    with pytest.raises(NotImplementedError):
        kl_divergence(q, Independent(Logistic(torch.zeros(3), torch.ones(3)), 1))


def test_student_kl_is_infinite_without_a_variance() -> None:
    kl = kl_divergence(StudentT(torch.tensor([1.5, 2.5])), Normal(torch.zeros(2), torch.ones(2)))
    assert kl.isinf().tolist() == [True, False]


# ── parameters from a network ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_network_output_of_zero(family: type[Distribution]) -> None:
    """Location 0, scale and shape 1, and the clip is the identity there."""
    for name, to in parameters(family).items():
        x = torch.zeros((), dtype=torch.float64, requires_grad=True)
        value = to(x)
        (slope,) = torch.autograd.grad(value, x)
        assert slope.item() == pytest.approx(1)
        expected = {"loc": 0.0, "alpha": 3.0, "df2": 5.0, "df": 3.0 if family is StudentT else 1.0}
        assert value.item() == pytest.approx(expected.get(name, 1.0))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_parameters_have_an_inverse(family: type[Distribution]) -> None:
    x = torch.linspace(-5, 5, 11, dtype=torch.float64)
    for to in parameters(family).values():
        torch.testing.assert_close(to.inverse(to(x)), x, rtol=1e-5, atol=1e-5)


EXTREME = st.floats(-1e6, 1e6) | st.floats(-30, 30)


@settings(max_examples=60, deadline=None)
@given(outputs=st.tuples(EXTREME, EXTREME, EXTREME))
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_no_network_output_breaks_a_family(family: type[Distribution], outputs: tuple[float, float, float]) -> None:
    """Samples, their density and its gradient are finite in single precision, for any parameters a network can say."""
    rows = len(parameters(family))
    net = Say(torch.tensor(outputs[:rows])[:, None].repeat(1, 3))
    torch.manual_seed(0)
    q = Factorized(net, 3, family)(torch.zeros(1, 1))
    z = q.rsample((50,))
    log_q = q.log_prob(z)
    (log_q.sum() + z.clamp(-1e6, 1e6).sum()).backward()
    assert z.isfinite().all()
    assert log_q.isfinite().all()
    assert net.value.grad.isfinite().all()


@settings(max_examples=60, deadline=None)
@given(output=EXTREME)
def test_no_network_output_breaks_the_elliptical_posterior(output: float) -> None:
    net = Say(torch.full(FullStudentT.output_shape(2), output))
    q = FullStudentT(net, 2)(torch.zeros(1, 1))
    z = q.rsample()
    log_q = q.log_prob(z)
    log_q.sum().backward()
    assert log_q.isfinite().all()
    assert z.isfinite().all()
    assert net.value.grad.isfinite().all()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_posterior_is_its_family(family: type[Distribution]) -> None:
    """θ = T(clip(h)), one row of the network's output for each parameter, independent over dimensions."""
    h = torch.randn(len(parameters(family)), 3)
    q = Factorized(Say(h), 3, family)(torch.zeros(4, 1))
    one = family(**{n: to(row) for (n, to), row in zip(parameters(family).items(), h, strict=True)})
    z = q.sample((5,))
    assert z.shape == (5, 4, 3)
    each = one.log_prob(z)
    torch.testing.assert_close(q.log_prob(z), each if family is Dirichlet else each.sum(-1))


def test_chi_squared_is_a_gamma() -> None:
    assert issubclass(Chi2, torch.distributions.Gamma)  # its closed-form KLs are those of the gamma


def test_pareto_lies_above_its_scale() -> None:
    z = Pareto(torch.tensor(2.0), torch.tensor(3.0)).sample((1000,))
    assert (z >= 2).all()
