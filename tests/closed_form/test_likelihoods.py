"""Likelihoods: normalised, finite with finite gradients everywhere, and in the data's own units.

The first part runs over every likelihood and every kind of data that it describes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from torch import Tensor, nn
from torch.distributions import Distribution

from elbox import VAE, DataError, DataSpec, distributions, likelihoods, posteriors, priors
from elbox.likelihoods.base import Likelihood

LEVELS = 7
COUNTS = 1500  # far beyond the means used here, even of a dispersed distribution
PAIRS = [(name, kind) for name in likelihoods.__all__ for kind in getattr(likelihoods, name).kinds]
LIBRARY = [(name, "library") for name in ("NegativeBinomial", "ZeroInflatedNegativeBinomial")]  # its composition only
SEPARABLE = [p for p in PAIRS if p[0] not in ("ComplexGaussian", "Multinomial")]  # a product over real dimensions
VALUES = {"binary": 2, "levels": LEVELS, "count": COUNTS}
# Two values near the ends of what each kind of data may be.
ENDS = {
    "library": (0.0, 1e5),
    "binary": (0.0, 1.0),
    "levels": (0.0, LEVELS - 1.0),
    "count": (0.0, 1e5),
    "real": (-1e3, 1e3),
    "unit": (0.0, 1.0),
    "positive": (1e-30, 1e30),
    "complex": (-1e3, 1e3),
}


class Put(nn.Module):
    """A "network" that puts out what it is told, for every code."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, z: Tensor) -> Tensor:
        return self.value.expand(*z.shape[:-1], *self.value.shape)


def spec_of(kind: str, event: tuple[int, ...]) -> DataSpec:
    """Data with another location and spread in every dimension."""
    dims = math.prod(event)
    each = tuple(0.5 + 0.25 * i for i in range(dims))
    share = tuple((i + 1) / (dims + 1) for i in range(dims))
    if kind == "unit":
        return DataSpec(event, kind, offset=share, scale=0.2)
    if kind == "complex":
        return DataSpec(event, kind, offset=each, scale=0.75)
    spread = tuple(2 * e for e in each) if kind == "count" else each  # more than Poisson
    return DataSpec(event, kind, LEVELS if kind == "levels" else 0, share if kind == "binary" else each, spread)


def of_kind(
    name: str, kind: str, event: tuple[int, ...] = (2,), value: float | Sequence[float] | None = None
) -> Likelihood:
    """The likelihood for tiny data, in evaluation, with outputs drawn at random, all of a value, or of each in turn."""
    cls, library = getattr(likelihoods, name), kind == "library"
    spec = spec_of("count" if library else kind, (2, *event) if kind == "complex" else event)
    shape = cls.output_shape(spec)
    if value is None:
        values = torch.randn(shape, dtype=torch.float64)
    else:
        values = torch.tensor(list(itertools.islice(itertools.cycle(np.atleast_1d(value)), math.prod(shape)))).float()
    net = Put(values.reshape(shape))
    made = cls(net, spec.offset, spec.scale, library=True) if library else cls.for_data(net, spec)
    return made.to(values.dtype).eval()


def ends(name: str, kind: str) -> tuple[float, float]:
    if kind == "positive" and name != "LogNormal":
        return (1e-3, 1e3)  # beyond 1e19 the square of a float32 is infinite
    return (1e-30, 1 - 1e-7) if name == "Beta" else ENDS[kind]


def density(p: Distribution, x: float) -> float:
    return p.log_prob(torch.tensor([x], dtype=torch.float64)).exp().item()


def mass(name: str, kind: str) -> float:
    """Σ_x p(x), or ∫ p(x) dx, over one dimension."""
    p = of_kind(name, kind, (1,))(code())
    if not getattr(likelihoods, name).density:
        return p.log_prob(torch.arange(VALUES[kind], dtype=torch.float64)[:, None]).exp().sum().item()
    low, high = {"ContinuousBernoulli": (0.0, 1.0), "Beta": (0.0, 1.0), "LogNormal": (0.0, np.inf)}.get(
        name, (-np.inf, np.inf)
    )
    parts = ((low, p.mean.item()), (p.mean.item(), high))
    return sum(quad(lambda x: density(p, x), *ends, epsabs=1e-10, limit=300)[0] for ends in parts)


def code(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.zeros(*shape, 1, dtype=dtype)


@pytest.mark.parametrize(("name", "kind"), SEPARABLE)
def test_adds_up_to_one(name: str, kind: str) -> None:
    """The sum over all values, or the integral over all numbers in the data's own units."""
    assert mass(name, kind) == pytest.approx(1, abs=2e-7)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_mean_is_that_of_the_samples(name: str, kind: str) -> None:
    p = of_kind(name, kind)(code())
    x = p.sample((40_000,))
    assert ((x.mean(0) - p.mean).abs() < 4 * x.std(0) / 200).all()


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_samples_are_in_the_support(name: str, kind: str) -> None:
    p = of_kind(name, kind)(code(1000))
    assert p.support.check(p.sample()).all()


@pytest.mark.parametrize(("name", "kind"), SEPARABLE)
def test_event_is_the_sum_over_its_dimensions(name: str, kind: str) -> None:
    """log p(x|z) sums over an image; the same numbers as a vector or one by one give the same log-density."""
    image = of_kind(name, kind, (1, 2, 3))
    values, spec = image.net.value.detach(), spec_of(kind, (6,))
    vector = type(image).for_data(Put(values.flatten(-3)), spec).double().eval()
    x = image(code()).sample()
    together = image(code()).log_prob(x)
    torch.testing.assert_close(vector(code()).log_prob(x.flatten()), together)
    base = vector(code()).base_dist
    torch.testing.assert_close(base.log_prob(x.flatten()).sum(), together)


OUTPUTS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=7)  # each output has another, or all have one


@settings(max_examples=25, deadline=None)
@given(outputs=OUTPUTS, high=st.booleans())
@pytest.mark.parametrize(("name", "kind"), [*PAIRS, *LIBRARY])
def test_no_network_output_breaks_it(name: str, kind: str, outputs: list[float], high: bool) -> None:
    """Finite value, gradient, mean and sample in single precision, at both ends of the support."""
    part = of_kind(name, kind, value=outputs)
    p = part(code(dtype=torch.float32))
    log_p = p.log_prob(torch.full(p.event_shape, ends(name, kind)[high]))
    log_p.backward()
    assert log_p.isfinite()
    assert all(t.grad is None or t.grad.isfinite().all() for t in part.parameters())
    assert p.mean.isfinite().all()
    assert p.sample().isfinite().all()
    assert p.support.check(p.sample()).all()


@settings(max_examples=25, deadline=None)
@given(own=OUTPUTS, outputs=OUTPUTS, high=st.booleans())
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (n, k)
        for n, k in [*PAIRS, *LIBRARY]
        if any(not p.startswith("net.") for p, _ in of_kind(n, k).named_parameters())
    ],
)
def test_no_learned_scale_or_shape_breaks_it(
    name: str, kind: str, own: list[float], outputs: list[float], high: bool
) -> None:
    """Finite value and gradient whatever its own parameters are: σ, b, ν, θ."""
    part = of_kind(name, kind, value=outputs)
    with torch.no_grad():
        for parameter, p in part.named_parameters():
            if not parameter.startswith("net."):
                p.copy_(torch.tensor((own * p.numel())[: p.numel()]).reshape(p.shape))
    p = part(code(dtype=torch.float32))
    log_p = p.log_prob(torch.full(p.event_shape, ends(name, kind)[high]))
    log_p.backward()
    assert log_p.isfinite()
    assert all(t.grad.isfinite().all() for t in part.parameters())


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_network_that_says_nothing_reconstructs_the_mean_example(name: str, kind: str) -> None:
    """Outputs of 0 mean the data's location in every dimension, `DataSpec.offset`."""
    part = of_kind(name, kind, (2, 2), 0.0)
    expected = torch.tensor(spec_of(kind, (2, 2, 2) if kind == "complex" else (2, 2)).offset)
    mean = part(code(dtype=torch.float32)).mean.flatten()
    if "Logistic" in name or name == "Categorical":  # means of clipped levels
        assert (mean.diff() > 0).all()
        return
    rough = {"ZeroInflatedNegativeBinomial": 0.02, "Multinomial": 0.5 / expected.sum().item()}  # rounded total
    torch.testing.assert_close(mean, expected, rtol=rough.get(name, 1e-4), atol=1e-4)


@pytest.mark.parametrize("name", likelihoods.__all__)
def test_robust_means_that_an_output_moves_the_likelihood_by_its_own_size_at_most(name: str) -> None:
    """|∂ log p / ∂ output| ≤ 1 wherever it is claimed; and where it is not claimed, it is exceeded somewhere."""
    steepest = 0.0
    for kind in getattr(likelihoods, name).kinds:
        for scale, end in itertools.product((0.1, 1.0, 10.0), (0, 1)):
            part = of_kind(name, kind)
            with torch.no_grad():
                part.net.value.mul_(scale)
            for x in (torch.full_like(part(code()).mean, ends(name, kind)[end]), part(code()).sample()):
                (slope,) = torch.autograd.grad(part(code()).log_prob(x), part.net.value)
                steepest = max(steepest, slope.abs().max().item())
    assert (steepest <= 1 + 1e-9) == getattr(likelihoods, name).robust, steepest


BAD = {
    "binary": (0.5, -1.0, 2.0),
    "levels": (0.5, -1.0, float(LEVELS)),
    "count": (0.5, -1.0),
    "unit": (-0.01, 1.01),
    "positive": (0.0, -1.0),
    "real": (math.nan,),
    "complex": (math.nan,),
}


@pytest.mark.parametrize("name", likelihoods.__all__)
def test_data_outside_the_support_are_refused_by_name_and_row(name: str) -> None:
    kind = getattr(likelihoods, name).kinds[0]
    likelihood = of_kind(name, kind)
    event = likelihood(code()).event_shape
    model = VAE(priors.StandardNormal(1), likelihood, posteriors.DiagonalNormal(Put(torch.zeros(2, 1)), 1)).double()
    model.posterior.net.forward = lambda x: torch.zeros(len(x), 2, 1, dtype=torch.float64)
    good = torch.full((5, *event), 0.25 if kind == "unit" else 1.0, dtype=torch.float64)
    model.check(good)
    for value in (*BAD[kind], *((0.0, 1.0) if name == "Beta" else ())):
        x = good.clone()
        x[3].view(-1)[1] = value
        match = "got NaN in row 3" if math.isnan(value) else f"in row 3 that {name} gives no probability; expected .*"
        with pytest.raises(DataError, match=match):
            model.check(x)


@pytest.mark.parametrize("name", likelihoods.__all__)
def test_message_says_what_values_are_expected(name: str) -> None:
    assert getattr(likelihoods, name).values != Likelihood.values


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_pixel_that_never_changed_is_still_possible(share: float) -> None:
    """Its share of ones is kept within [0.001, 0.999]."""
    p = likelihoods.Bernoulli(Put(torch.zeros(1)), offset=(share,))(torch.zeros(1))
    assert p.mean.item() == pytest.approx(min(max(share, 0.001), 0.999))
    assert p.log_prob(torch.tensor([1 - share])).item() == pytest.approx(math.log(0.001), rel=1e-4)


def test_bernoulli_and_poisson_by_hand() -> None:
    """y = σ(logit m + net), λ = m e^{net}."""
    coin = likelihoods.Bernoulli(Put(torch.tensor([math.log(2.0)])), offset=0.25)(torch.zeros(1))
    assert coin.log_prob(torch.ones(1)).item() == pytest.approx(math.log(0.4))  # odds 1/3 · 2
    count = likelihoods.Poisson(Put(torch.tensor([0.0])), offset=3.0)(torch.zeros(1))
    assert count.log_prob(torch.full((1,), 2.0)).item() == pytest.approx(math.log(4.5) - 3)  # 3² e⁻³ / 2!


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_gaussian_density_is_in_the_units_of_the_data(scale: float) -> None:
    """Rescaled data under a rescaled spec lose log(scale) nats a dimension, exactly."""
    values = torch.randn(3, dtype=torch.float64)
    x, z = torch.randn(3, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    plain = likelihoods.Gaussian(Put(values)).double()
    scaled = likelihoods.Gaussian(Put(values), offset=5.0, scale=scale).double()
    torch.testing.assert_close(
        scaled(z).log_prob(5 + scale * x), plain(z).log_prob(x) - 3 * math.log(scale), rtol=1e-6, atol=1e-6
    )


def test_gaussian_by_hand() -> None:
    """−(x − μ)²/2σ² − log σ√(2π)."""
    p = likelihoods.FixedGaussian(Put(torch.tensor([1.0])), sigma=0.5)(torch.zeros(1))
    assert p.log_prob(torch.tensor([2.0])).item() == pytest.approx(-2 - math.log(0.5 * math.sqrt(2 * math.pi)))


def test_optimal_variance_is_the_mean_squared_error() -> None:
    """∂/∂log σ of the Gaussian likelihood vanishes where σ² is the mean squared error (Rybkin et al., 2021, §3.1)."""
    x = torch.randn(50, 4, dtype=torch.float64)
    part = likelihoods.Gaussian(Put(torch.zeros(4))).double()
    log_sigma = 0.5 * x.square().mean().log()
    with torch.no_grad():
        part.log_sigma.copy_(log_sigma / (1 - log_sigma.abs() / 10))
    part(torch.zeros(50, 1).double()).log_prob(x).mean().backward()
    assert part.log_sigma.grad.item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("total", range(6))
def test_compositions_of_every_total_add_up_to_one(total: int) -> None:
    """The multinomial likelihood is a probability of the composition given its total."""
    p = of_kind("Multinomial", "count", (3,))(code())
    compositions = [k for k in itertools.product(range(total + 1), repeat=3) if sum(k) == total]
    assert p.log_prob(torch.tensor(compositions, dtype=torch.float64)).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_complex_gaussian_integrates_to_one_over_the_plane() -> None:
    p = of_kind("ComplexGaussian", "complex", (1,))(code())
    axis = torch.linspace(-15, 15, 601, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis).unsqueeze(-1)
    assert p.log_prob(x).exp().sum().item() * 0.05**2 == pytest.approx(1, abs=1e-9)


def test_complex_gaussian_by_hand_and_turned() -> None:
    """exp(−|x − μ|²/σ²)/πσ² with σ² = E|x − μ|²; the same after a turn of x − μ."""
    part = likelihoods.ComplexGaussian(
        Put(torch.tensor([[1.0], [-2.0], [0.3]], dtype=torch.float64)), scale=0.5
    ).double()
    p = part(code())
    sigma_2 = 2 * (0.5 * math.exp(0.3 / 1.03)) ** 2
    mu, x = complex(0.5, -1.0), complex(0.2, 0.4)
    by_hand = -(abs(x - mu) ** 2) / sigma_2 - math.log(math.pi * sigma_2)
    assert p.log_prob(torch.tensor([[0.2], [0.4]], dtype=torch.float64)).item() == pytest.approx(by_hand)
    turned = mu + (x - mu) * complex(math.cos(0.7), math.sin(0.7))
    assert p.log_prob(torch.tensor([[turned.real], [turned.imag]], dtype=torch.float64)).item() == pytest.approx(
        by_hand
    )
    drawn = p.sample((100_000,)).squeeze(-1)
    power = (drawn - torch.tensor([0.5, -1.0])).square().sum(-1)
    assert power.mean().item() == pytest.approx(sigma_2, abs=4 * power.std().item() / 316)


def test_laplace_student_and_log_normal_are_those_of_scipy() -> None:
    h, x = torch.tensor([0.4], dtype=torch.float64), torch.tensor([2.3], dtype=torch.float64)
    laplace = likelihoods.Laplace(Put(h), offset=1.0, scale=2.0).double()(code())
    assert laplace.log_prob(x).item() == pytest.approx(stats.laplace.logpdf(2.3, 1.8, math.sqrt(2)))
    assert laplace.variance.item() == pytest.approx(4)
    student = likelihoods.StudentT(Put(h), offset=1.0, scale=2.0).double()(code())
    assert student.log_prob(x).item() == pytest.approx(stats.t.logpdf(2.3, 5, 1.8, 2))
    log_normal = likelihoods.LogNormal(Put(torch.zeros(1).double()), offset=3.0, scale=2.0).double()(code())
    b = math.sqrt(math.log(1 + 4 / 9))
    assert log_normal.log_prob(x).item() == pytest.approx(stats.lognorm.logpdf(2.3, b, scale=3 * math.exp(-b * b / 2)))
    assert log_normal.stddev.item() == pytest.approx(2)


@pytest.mark.parametrize("df", [1.5, 5.0, 300.0, 1e5])
def test_student_t_in_single_precision(df: float) -> None:
    """Within 2e-5 of scipy; and the normal distribution, as ν → ∞, where torch's own is off by 0.02."""
    t = torch.linspace(-6, 6, 25)
    p = distributions.StudentT(torch.tensor(df), torch.tensor(0.0), torch.tensor(1.0))
    torch.testing.assert_close(p.log_prob(t).double(), torch.tensor(stats.t.logpdf(t.double(), df)), atol=2e-5, rtol=0)
    if df == 1e5:
        torch.testing.assert_close(p.log_prob(t), torch.distributions.Normal(0.0, 1.0).log_prob(t), atol=5e-3, rtol=0)


def test_levels_of_the_categorical_start_near_those_of_the_data() -> None:
    """Mean and spread of an untrained network's levels, where the levels are wide enough."""
    spec = DataSpec((2,), "levels", 32, offset=(12.0, 18.0), scale=3.0)
    p = likelihoods.Categorical.for_data(Put(torch.zeros(32, 2)), spec)(code(dtype=torch.float32))
    torch.testing.assert_close(p.mean, torch.tensor([12.0, 18.0]), atol=0.1, rtol=0)
    assert p.base_dist.entropy()[0].item() == pytest.approx(math.log(3 * math.sqrt(3) / math.pi) + 2, abs=0.2)
    share = likelihoods.Categorical.for_data(Put(torch.zeros(2, 2)), DataSpec((2,), "binary", offset=(0.1, 0.7)))
    torch.testing.assert_close(share(code(dtype=torch.float32)).mean, torch.tensor([0.1, 0.7]), atol=0.005, rtol=0)
    assert likelihoods.Categorical(Put(torch.zeros(4, 1)))(code(dtype=torch.float32)).mean.item() == 1.5  # uniform
