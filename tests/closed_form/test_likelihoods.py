"""Likelihoods: normalised, finite with finite gradients everywhere, and in the data's own units."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from elbox import DataSpec, likelihoods
from elbox.distributions import DiscretizedLogistic
from elbox.likelihoods.base import Likelihood

COUNTS = 200  # far beyond the rates used here


class Put(nn.Module):
    """A "network" that puts out what it is told, for every code."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, z: Tensor) -> Tensor:
        return self.value.expand(*z.shape[:-1], *self.value.shape)


def of_kind(name: str, kind: str, event: tuple[int, ...] = (2,), value: Tensor | float | None = None) -> Likelihood:
    """The likelihood for tiny data, with outputs drawn at random or all set to a value."""
    cls = getattr(likelihoods, name)
    per_dimension = tuple(0.5 + 0.25 * i for i in range(math.prod(event)))
    spec = DataSpec(event, kind, levels=7 if kind == "levels" else 0, offset=per_dimension, scale=per_dimension)
    shape = cls.output_shape(spec)
    value = torch.randn(shape, dtype=torch.float64) if value is None else torch.full(shape, value)
    return cls.for_data(Put(value), spec).to(value.dtype)


def total(p: torch.distributions.Distribution, axis: Tensor, cell: float = 1.0) -> float:
    """Σ or ∫ p(x) dx over two-dimensional x."""
    return p.log_prob(torch.cartesian_prod(axis, axis)).exp().sum().item() * cell**2


DISCRETE = [
    ("Bernoulli", "binary", 2),
    ("Categorical", "binary", 2),
    ("Categorical", "levels", 7),
    ("DiscretizedLogistic", "levels", 7),
    ("Poisson", "count", COUNTS),
]
CONTINUOUS = [(n, k) for n in ("FixedGaussian", "Gaussian", "PredictedGaussian") for k in ("real", "levels", "count")]


@pytest.mark.parametrize(("name", "kind", "values"), DISCRETE)
def test_probabilities_sum_to_one(name: str, kind: str, values: int) -> None:
    p = of_kind(name, kind)(torch.zeros(1, dtype=torch.float64))
    assert total(p, torch.arange(values, dtype=torch.float64)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), CONTINUOUS)
def test_densities_integrate_to_one(name: str, kind: str) -> None:
    """In the data's own units, with another offset and scale in every dimension."""
    p = of_kind(name, kind)(torch.zeros(1, dtype=torch.float64))
    axis = torch.linspace(-15, 15, 1001, dtype=torch.float64)
    assert total(p, axis, (axis[1] - axis[0]).item()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), [d[:2] for d in DISCRETE] + CONTINUOUS)
def test_mean_is_that_of_the_samples(name: str, kind: str) -> None:
    p = of_kind(name, kind)(torch.zeros(1, dtype=torch.float64))
    x = p.sample((40_000,))
    assert ((x.mean(0) - p.mean).abs() < 4 * x.std(0) / 200).all()


@pytest.mark.parametrize(("name", "kind"), [d[:2] for d in DISCRETE] + CONTINUOUS)
def test_event_is_the_sum_over_its_dimensions(name: str, kind: str) -> None:
    """log p(x|z) sums over an image; the same numbers as a vector or an image give the same log-density."""
    image = of_kind(name, kind, (1, 2, 3))
    spec = DataSpec((6,), kind, levels=7 if kind == "levels" else 0, offset=tuple(0.5 + 0.25 * i for i in range(6)),
                    scale=tuple(0.5 + 0.25 * i for i in range(6)))  # fmt: skip
    parameters = image.net.value.detach()
    vector = type(image).for_data(Put(parameters.flatten(-3)), spec).double()
    if name == "FixedGaussian":
        vector.sigma = image.sigma
    z = torch.zeros(1, dtype=torch.float64)
    x = image(z).sample()
    torch.testing.assert_close(vector(z).log_prob(x.flatten()), image(z).log_prob(x))


@settings(max_examples=40, deadline=None)
@given(output=st.floats(-1e6, 1e6), high=st.booleans())
@pytest.mark.parametrize(("name", "kind"), [d[:2] for d in DISCRETE] + CONTINUOUS)
def test_no_network_output_breaks_it(name: str, kind: str, output: float, high: bool) -> None:
    """Finite value, gradient, mean and sample in single precision, at both ends of the support."""
    part = of_kind(name, kind, value=output)
    x = torch.full((2,), {"binary": 1.0, "levels": 6.0, "count": 150.0, "real": 1e3}[kind] if high else 0.0)
    p = part(torch.zeros(1))
    p.log_prob(x).backward()
    assert p.log_prob(x).isfinite()
    assert all(t.grad is None or t.grad.isfinite().all() for t in part.parameters())
    assert p.mean.isfinite().all()
    assert p.sample().isfinite().all()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Bernoulli", "binary"), ("Poisson", "count"), *((n, "real") for n, k in CONTINUOUS if k == "real")],
)
def test_network_that_says_nothing_reconstructs_the_mean_example(name: str, kind: str) -> None:
    """Outputs of 0 mean the data's location in every dimension, `DataSpec.offset`."""
    part = of_kind(name, kind, (2, 2), 0.0) if kind != "binary" else bits()
    z = torch.zeros(1)
    expected = torch.tensor([[0.1, 0.9], [0.5, 0.3]] if kind == "binary" else [[0.5, 0.75], [1.0, 1.25]])
    torch.testing.assert_close(part(z).mean, expected)


def bits() -> Likelihood:
    spec = DataSpec((2, 2), "binary", offset=(0.1, 0.9, 0.5, 0.3))
    return likelihoods.Bernoulli.for_data(Put(torch.zeros(2, 2)), spec)


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


# ── the discretised logistic ────────────────────────────────────────────────────────────────────────────────────────

LOCATIONS = st.floats(-1e5, 1e5)
SCALES = st.floats(-12, 12).map(math.exp)
LEVELS = st.integers(2, 256)


@settings(max_examples=150, deadline=None)
@given(loc=LOCATIONS, scale=SCALES, levels=LEVELS)
def test_levels_sum_to_one(loc: float, scale: float, levels: int) -> None:
    """To 1e-6, for scales from e^{−12} to e^{12}, locations far outside, and every number of levels."""
    d = DiscretizedLogistic(torch.tensor(loc).double(), torch.tensor(scale).double(), levels)
    assert d.log_prob(torch.arange(levels).double()).exp().sum().item() == pytest.approx(1, abs=1e-9)
    single = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale), levels)
    assert single.log_prob(torch.arange(levels)).double().exp().sum().item() == pytest.approx(1, abs=1e-6 * levels**0.5)


@pytest.mark.parametrize("loc", [-300.0, -0.5, 0.0, 3.0, 127.5, 128.0, 254.9, 255.0, 600.0])
@pytest.mark.parametrize("scale", [1e-8, 1e-4, 0.1, 1.0, 3.0, 40.0, 1e4])
def test_bytes_sum_to_one_in_single_precision(loc: float, scale: float) -> None:
    d = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale), 256)
    assert d.log_prob(torch.arange(256)).double().exp().sum().item() == pytest.approx(1, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(loc=LOCATIONS, scale=SCALES, levels=LEVELS, data=st.data())
def test_every_level_has_a_finite_log_probability_and_gradient(
    loc: float, scale: float, levels: int, data: st.DataObject
) -> None:
    mu, s = torch.tensor(loc, requires_grad=True), torch.tensor(scale, requires_grad=True)
    k = torch.tensor(float(data.draw(st.integers(0, levels - 1))))
    log_p = DiscretizedLogistic(mu, s, levels).log_prob(k)
    log_p.backward()
    assert log_p.isfinite()
    assert log_p <= 1e-6
    assert mu.grad.isfinite()
    assert s.grad.isfinite()


def test_probability_is_the_difference_of_the_cumulative_distribution() -> None:
    """Where nothing cancels: σ((k + ½ − μ)/s) − σ((k − ½ − μ)/s), with open edge bins."""
    mu, s, k = torch.tensor(3.3).double(), torch.tensor(1.7).double(), torch.arange(8).double()
    upper, lower = torch.sigmoid((k + 0.5 - mu) / s), torch.sigmoid((k - 0.5 - mu) / s)
    upper[-1], lower[0] = 1, 0
    torch.testing.assert_close(DiscretizedLogistic(mu, s, 8).log_prob(k).exp(), upper - lower)


def test_far_tail_is_exact() -> None:
    """Where the difference of two sigmoids is 0 in double precision: log P(k) → (μ − k)/s + log(2 sinh(1/2s))."""
    mu, s, k = torch.tensor(0.0).double(), torch.tensor(0.5).double(), torch.tensor(100.0).double()
    log_p = DiscretizedLogistic(mu, s, 256).log_prob(k).item()
    assert log_p == pytest.approx(-200 + math.log(2 * math.sinh(1)), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(loc=st.floats(-20, 40), scale=st.floats(0.01, 20), levels=st.integers(2, 40))
def test_mean_is_the_sum(loc: float, scale: float, levels: int) -> None:
    d = DiscretizedLogistic(torch.tensor(loc).double(), torch.tensor(scale).double(), levels)
    k = torch.arange(levels).double()
    torch.testing.assert_close(d.mean, (k * d.log_prob(k).exp()).sum())


@pytest.mark.parametrize(("loc", "scale"), [(3.0, 0.8), (-1.0, 2.0), (7.2, 0.1), (2.5, 30.0)])
def test_samples_follow_the_probabilities(loc: float, scale: float) -> None:
    """Frequencies of 100 000 samples within 4 standard errors of each probability."""
    d, n = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale), 7), 100_000
    p = d.log_prob(torch.arange(7)).exp()
    frequency = torch.bincount(d.sample((n,)).long(), minlength=7) / n
    assert ((frequency - p).abs() <= 4 * (p * (1 - p) / n).sqrt() + 1e-6).all()


def test_two_levels_are_a_bernoulli() -> None:
    d = DiscretizedLogistic(torch.tensor(0.9), torch.tensor(0.4), 2)
    b = torch.distributions.Bernoulli(logits=torch.tensor((0.9 - 0.5) / 0.4))
    k = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(d.log_prob(k), b.log_prob(k))
