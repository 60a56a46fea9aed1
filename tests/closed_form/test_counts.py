"""Likelihoods of counts: the negative binomial with and without extra zeros and size factors, and compositions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special, stats
from torch import Tensor, nn
from torch.autograd import gradcheck, gradgradcheck

from elbox import ELBO, AnalyticKL, DataSpec, distributions, likelihoods, recipes
from elbox.distributions import Multinomial, NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from elbox.distributions.gamma import log_beta, log_rising
from elbox.distributions.saddle import deviance, stirling_rest
from elbox.train.step import Step
from tests.closed_form.test_likelihoods import Put

K = torch.arange(60.0, dtype=torch.float64)


@pytest.mark.parametrize("n", [0.0, 0.5, 1.0, 37.0, 1e4])
@pytest.mark.parametrize("a", [1e-6, 0.3, 5.0, 19.99, 20.01, 1e3, 1e6])
def test_log_rising_against_scipy(a: float, n: float) -> None:
    """In double precision, where scipy's difference still has digits; and its derivative, ψ(a + n) − ψ(a)."""
    x = torch.tensor(a, dtype=torch.float64, requires_grad=True)
    value = log_rising(x, torch.tensor(n, dtype=torch.float64))
    value.backward()
    size = abs(special.gammaln(a + n)) + abs(special.gammaln(a))
    assert value.item() == pytest.approx(
        special.gammaln(a + n) - special.gammaln(a), rel=1e-11, abs=1e-11 + 1e-15 * size
    )
    assert x.grad.item() == pytest.approx(special.psi(a + n) - special.psi(a), rel=1e-9, abs=1e-12)


def test_log_rising_keeps_its_digits_in_single_precision() -> None:
    """log Γ(a + n)/Γ(a) is Σ_i log(a + i); the difference of two lgamma is off by 0.001 and more."""
    for a, n in ((1e4, 3), (1e5, 1), (1e6, 10)):
        exact = sum(math.log(a + i) for i in range(n))
        a_, n_ = torch.tensor(a), torch.tensor(float(n))
        assert log_rising(a_, n_).item() == pytest.approx(exact, rel=2e-7)
        assert abs((torch.lgamma(a_ + n_) - torch.lgamma(a_)).item() - exact) > 0.001


@pytest.mark.parametrize(("a", "b"), [(0.2, 0.3), (1e-9, 1e-9), (3.0, 1e5), (1e5, 3.0), (400.0, 700.0)])
def test_log_beta_against_scipy(a: float, b: float) -> None:
    value = log_beta(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)).item()
    assert value == pytest.approx(special.betaln(a, b), rel=1e-10)


def test_stirling_rest_against_scipy() -> None:
    """R(x) = log Γ(x + 1) − x log x + x and R′(x) = ψ(x + 1) − log x, where scipy's difference still has digits."""
    x = torch.cat([torch.tensor([1e-12, 1e-6]), torch.linspace(0.01, 300, 3000)]).double().requires_grad_()
    rest, at = stirling_rest(x), x.detach().numpy()
    (slope,) = torch.autograd.grad(rest.sum(), x)
    expected = special.gammaln(at + 1) - special.xlogy(at, at) + at
    np.testing.assert_allclose(rest.detach(), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(slope, special.psi(at + 1) - np.log(at), rtol=1e-12, atol=1e-14)
    assert stirling_rest(torch.zeros(1)).item() == pytest.approx(0, abs=2e-9)
    large = torch.logspace(2, 8, 50)
    series = 0.5 * torch.log(2 * math.pi * large.double()) + 1 / (12 * large.double()) - 1 / (360 * large.double() ** 3)
    torch.testing.assert_close(stirling_rest(large).double(), series, rtol=0, atol=2e-6)


def test_deviance_of_means_near_and_far() -> None:
    """D(x, m) = x log(x/m) − x + m in single precision, to a few of its digits for m/x from 1e-30 to 1e30."""
    x = torch.tensor([1e-3, 1.0, 5.0, 1e4, 1e7])[:, None]
    ratio = torch.cat([torch.logspace(-30, 30, 61), 1 + torch.linspace(-0.6, 0.6, 41)])
    m = x * ratio
    exact = x.double() * torch.log(x.double() / m.double()) - x.double() + m.double()
    found = deviance(x.expand_as(m), m - x, torch.log(m / x)).double()
    torch.testing.assert_close(found, exact, rtol=1e-6, atol=3e-8 * x.max().item())
    torch.testing.assert_close(found[:3], exact[:3], rtol=1e-6, atol=3e-7)


def test_large_counts_keep_their_digits_in_single_precision() -> None:
    """Within 1e-3 nats where the count is likely, and to six digits where it is not; k and μ to 10⁷."""
    mu = torch.logspace(-3, 7, 21)[:, None]
    for theta in (1e-3, 0.1, 1.0, 30.0, 1e3, 1e5, 1e7, 1e9, math.inf):
        near = mu + torch.linspace(-5, 5, 11) * (mu + mu**2 / theta).sqrt()
        k = torch.cat([near.clamp(0, 1e7).round(), torch.logspace(0, 7, 8).expand(21, 8)], 1)
        if theta == math.inf:
            found, exact = Poisson(mu).log_prob(k), stats.poisson.logpmf(k.double(), mu.double())
        else:  # scipy's nbinom knows only 1 − θ/(θ + μ), which has no digits for large θ
            found, exact = NegativeBinomial(mu, torch.tensor(theta)).log_prob(k), log_nb(k.double(), mu.double(), theta)
        np.testing.assert_allclose(found.double(), exact, rtol=2e-6, atol=1e-3)


def log_nb(k: Tensor, mu: Tensor, theta: float) -> Tensor:
    ways = torch.lgamma(k + theta) - torch.lgamma(torch.tensor(theta).double()) - torch.lgamma(k + 1)
    return ways - theta * torch.log1p(mu / theta) - k * torch.log1p(theta / mu)


@pytest.mark.parametrize("total", [0, 10, 10**4, 10**7])
def test_large_compositions_keep_their_digits_in_single_precision(total: int) -> None:
    share = np.array([0.5, 0.3, 0.15, 0.05 - 1e-6, 1e-6])
    x = np.random.default_rng(0).multinomial(total, share, size=20)
    found = Multinomial(torch.tensor(np.log(share)).float(), 1).log_prob(torch.tensor(x).float())
    np.testing.assert_allclose(found.double(), stats.multinomial.logpmf(x, total, share), rtol=2e-6, atol=1e-3)


@pytest.mark.parametrize("theta", [1e-3, 1.0, 1e3, 1e6])
def test_gradients_of_large_counts_in_single_precision(theta: float) -> None:
    """∂ log P/∂ log μ = θ (k − μ)/(μ + θ); ∂ log P/∂ log θ is that in double precision."""
    k, slopes = torch.tensor([0.0, 1.0, 9e5, 1e6, 1.003e6, 1e7]), []
    for dtype in (torch.float32, torch.float64):
        mu, of_theta = (torch.full_like(k, v, dtype=dtype, requires_grad=True) for v in (1e6, theta))
        NegativeBinomial(mu, of_theta).log_prob(k.to(dtype)).sum().backward()
        slopes.append((1e6 * mu.grad, theta * of_theta.grad))
    torch.testing.assert_close(slopes[1][0], theta * (k.double() - 1e6) / (1e6 + theta), rtol=1e-6, atol=1e-6)
    for single, double in zip(*slopes, strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    "log_prob",
    [
        lambda a, b, k: Poisson(a.exp()).log_prob(k),
        lambda a, b, k: NegativeBinomial(a.exp(), b.exp()).log_prob(k),
        lambda a, b, k: ZeroInflatedNegativeBinomial(a.exp(), b.exp(), a - b).log_prob(k),
        lambda a, b, k: Multinomial(a, 1).log_prob(k),
    ],
    ids=["Poisson", "NegativeBinomial", "ZeroInflatedNegativeBinomial", "Multinomial"],
)
def test_first_and_second_derivatives_of_counts(log_prob: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    k = torch.tensor([0.0, 1.0, 3.0, 40.0]).double()
    a, b = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert gradcheck(lambda a, b: log_prob(a, b, k), (a, b))
    assert gradgradcheck(lambda a, b: log_prob(a, b, k), (a, b))
    torch.testing.assert_close(log_prob(a, b, k.long()), log_prob(a, b, k), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("mu", "theta"), [(0.01, 3.0), (4.0, 0.05), (4.0, 2.0), (30.0, 500.0)])
def test_negative_binomial_is_that_of_scipy(mu: float, theta: float) -> None:
    """scipy's n is θ, its p is θ/(θ + μ)."""
    p = NegativeBinomial(torch.tensor(mu, dtype=torch.float64), torch.tensor(theta, dtype=torch.float64))
    expected = stats.nbinom.logpmf(K.numpy(), theta, theta / (theta + mu))
    torch.testing.assert_close(p.log_prob(K), torch.tensor(expected), rtol=1e-9, atol=1e-9)
    assert p.variance.item() == pytest.approx(stats.nbinom.var(theta, theta / (theta + mu)))
    x = p.sample((200_000,))
    assert x.mean().item() == pytest.approx(mu, abs=4 * x.std().item() / math.sqrt(200_000))
    assert x.var().item() == pytest.approx(p.variance.item(), rel=0.1)


@pytest.mark.parametrize("theta", [1e5, 1e7, 1e9])
def test_negative_binomial_becomes_poisson_in_single_precision(theta: float) -> None:
    """As θ → ∞; log P differs by about k²/θ."""
    p = NegativeBinomial(torch.tensor(12.0), torch.tensor(theta))
    k = K[:40].float()
    torch.testing.assert_close(
        p.log_prob(k), torch.distributions.Poisson(12.0).log_prob(k), atol=2e-2 * 1e5 / theta + 2e-4, rtol=0
    )


@settings(max_examples=200, deadline=None)
@given(
    log_mu=st.floats(-20, 20),
    log_theta=st.floats(-20, 20),
    logit=st.floats(-1e6, 1e6),
    k=st.sampled_from([0, 1, 7, 10**6]),
)
def test_counts_are_finite_with_finite_gradients_everywhere(
    log_mu: float, log_theta: float, logit: float, k: int
) -> None:
    """μ and θ from e^{−20} to e^{20}, any log-odds of an extra zero, in single precision; gradient to their logs."""
    a, b, c = (torch.tensor(float(v), requires_grad=True) for v in (log_mu, log_theta, logit))
    log_p = ZeroInflatedNegativeBinomial(a.exp(), b.exp(), c).log_prob(torch.tensor(float(k)))
    log_p.backward()
    assert log_p.isfinite()
    assert log_p <= 1e-4
    assert all(t.grad.isfinite() for t in (a, b, c))


def test_extra_zeros() -> None:
    """P(0) = π + (1 − π) NB(0), P(k) = (1 − π) NB(k); NB as π → 0, nothing but zeros as π → 1."""
    mu, theta = torch.tensor(3.0, dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
    plain = NegativeBinomial(mu, theta).log_prob(K).exp()
    for share in (1e-12, 0.2, 0.99):
        p = ZeroInflatedNegativeBinomial(mu, theta, torch.tensor(math.log(share / (1 - share)), dtype=torch.float64))
        expected = (1 - share) * plain + share * (K == 0)
        torch.testing.assert_close(p.log_prob(K).exp(), expected)
        k = torch.arange(20_000.0).double()
        w = p.log_prob(k).exp()
        assert w.sum().item() == pytest.approx(1, abs=1e-9)
        assert (k * w).sum().item() == pytest.approx(p.mean.item())
        assert (k**2 * w).sum().item() - p.mean.item() ** 2 == pytest.approx(p.variance.item())
    never = ZeroInflatedNegativeBinomial(mu, theta, torch.tensor(200.0, dtype=torch.float64))
    assert never.log_prob(torch.zeros(()).double()).item() == pytest.approx(0, abs=1e-80)
    assert never.log_prob(torch.ones(()).double()).item() == pytest.approx(-200 + math.log(plain[1].item()))


def test_dispersion_starts_at_that_of_the_data() -> None:
    """θ₀ = m²/(s² − m) in each dimension: mean and variance of an untrained model are those of the data."""
    spec = DataSpec((3,), "count", offset=(1.0, 5.0, 20.0), scale=(2.0, 4.0, 10.0))
    p = likelihoods.NegativeBinomial.for_data(Put(torch.zeros(3)), spec)(torch.zeros(1))
    torch.testing.assert_close(p.mean, torch.tensor([1.0, 5.0, 20.0]))
    torch.testing.assert_close(p.stddev, torch.tensor([2.0, 4.0, 10.0]))
    narrow = DataSpec((2,), "count", offset=4.0, scale=1.0)  # less than Poisson: θ at its largest
    part = likelihoods.NegativeBinomial.for_data(Put(torch.zeros(2)), narrow)
    assert part.log_theta.shape == (2,)
    torch.testing.assert_close(part(torch.zeros(1)).variance, torch.full((2,), 4 + 16 / 100))


@pytest.mark.parametrize("cls", [likelihoods.NegativeBinomial, likelihoods.ZeroInflatedNegativeBinomial])
def test_size_factor_is_the_exponential_of_the_first_condition(cls: type) -> None:
    """Means before losses add up to ℓ, in proportions that do not depend on ℓ; without a condition ℓ = Σ m."""
    shape = (2, 3) if cls is likelihoods.ZeroInflatedNegativeBinomial else (3,)
    part = cls(Put(0.5 * torch.randn(shape)), (1.0, 2.0, 3.0), (2.0, 3.0, 4.0), library=True)
    z, c = torch.zeros(4, 1), torch.tensor([[1.0], [10.0], [100.0], [1e6]]).log()

    def mu(context: object) -> torch.Tensor:
        base = part(context).base_dist
        return getattr(base, "counts", base).mu

    torch.testing.assert_close(mu((z, c)).sum(-1), c.exp().squeeze(-1))
    shares = mu((z, c)) / mu((z, c)).sum(-1, keepdim=True)
    torch.testing.assert_close(shares, shares[:1].expand(4, 3))
    torch.testing.assert_close(mu(z).sum(-1), torch.full((4,), 6.0))
    z = torch.zeros(2, 4, 1)  # K samples
    assert part((z, c.expand(2, 4, 1))).log_prob(torch.ones(4, 3)).shape == (2, 4)


@settings(max_examples=100, deadline=None)
@given(
    outputs=st.lists(st.floats(-1e9, 1e9), min_size=6, max_size=6),
    own=st.lists(st.floats(-1e9, 1e9), min_size=3, max_size=3),
    log_size=st.floats(0, 16),
    k=st.sampled_from([0.0, 1.0, 1e5]),
)
@example([-1e9, 1e9, 0.0, 0.0, 0.0, 0.0], [1e9, 1e9, 1e9], 0.0, 0.0)  # μ = 2e-17, θ = 2e6
@pytest.mark.parametrize("cls", [likelihoods.NegativeBinomial, likelihoods.ZeroInflatedNegativeBinomial])
def test_no_composition_breaks_a_size_factor(
    cls: type, outputs: list[float], own: list[float], log_size: float, k: float
) -> None:
    """Finite value and gradients in single precision, whatever is put out for each of the dimensions."""
    values = torch.tensor(outputs).reshape(2, 3)
    net, mean = Put(values if cls is likelihoods.ZeroInflatedNegativeBinomial else values[0]), (1e-3, 1e5, 1.0)
    part = cls(net, mean, mean, library=True)
    part.log_theta.data = torch.tensor(own)
    log_p = part((torch.zeros(1, 1), torch.full((1, 1), log_size))).log_prob(torch.full((1, 3), k))
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert all(p.grad.isfinite().all() for p in part.parameters())


def test_the_network_sees_the_rest_of_the_condition() -> None:
    class Spy(nn.Module):
        def forward(self, context: object) -> torch.Tensor:
            self.seen = context
            return torch.zeros(2, 3)

    spy = Spy()
    part, z, c = (
        likelihoods.NegativeBinomial(spy, library=True),
        torch.zeros(2, 1),
        torch.tensor([[0.0, 5, 6], [1, 7, 8]]),
    )
    part((z, c))
    assert torch.equal(spy.seen[0], z)
    assert torch.equal(spy.seen[1], c[:, 1:])
    part((z, c[:, :1]))
    assert torch.equal(spy.seen, z)
    likelihoods.NegativeBinomial(spy)((z, c))
    assert torch.equal(spy.seen[1], c)


@pytest.mark.parametrize("zero_inflated", [False, True])
def test_count_vae_with_size_factors(zero_inflated: bool) -> None:
    """A step reaches every weight; the size factor is the row's total unless another is given."""
    spec = DataSpec((3,), "count", offset=(1.0, 2.0, 3.0), scale=2.0)
    recipe = recipes.count_vae(spec, latent=2, hidden=(6,), zero_inflated=zero_inflated, library=True)
    x = torch.poisson(torch.full((8, 3), 4.0))
    step, c = Step(recipe.model, ELBO(), AnalyticKL()), x.sum(-1, keepdim=True).log()
    step(x, c)[0].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in recipe.model.parameters())
    assert recipe.model.sample(8, c=c).shape == (8, 3)
    model = recipe.model
    torch.testing.assert_close(model.given(x), c)
    torch.testing.assert_close(model.given(x, c + 1), c + 1)
    torch.testing.assert_close(model.encode(x).mean, model.encode(x, c=c).mean)
    assert not torch.allclose(model.encode(x).mean, model.encode(x, c=c + 1).mean)
    if not zero_inflated:
        torch.testing.assert_close(model.reconstruct(x).sum(-1), x.sum(-1))
        torch.testing.assert_close(model.reconstruct(x, c=c + 1).sum(-1), math.e * x.sum(-1))


def test_composition_is_that_of_scipy() -> None:
    h = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
    part = likelihoods.Multinomial(Put(h), offset=(1.0, 2.0, 4.0)).double()
    p = part(torch.zeros(1).double())
    share = np.array([1.0, 2.0, 4.0]) * np.exp(h.numpy())
    share /= share.sum()
    for x in ([0, 0, 0], [3, 0, 0], [2, 5, 9]):
        expected = stats.multinomial.logpmf(x, sum(x), share)
        assert p.log_prob(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(expected)
    np.testing.assert_allclose(p.mean.detach(), 7 * share)
    assert (p.sample((50,)).sum(-1) == 7).all()


def test_composition_of_an_image_is_over_all_its_pixels() -> None:
    p = distributions.Multinomial(torch.randn(5, 1, 2, 3), event_dims=3, total=11)
    x = p.sample((4,))
    assert x.shape == (4, 5, 1, 2, 3)
    assert (x.sum((-3, -2, -1)) == 11).all()
    flat = distributions.Multinomial(p.log_shares, event_dims=1)
    torch.testing.assert_close(p.log_prob(x), flat.log_prob(x.flatten(-3)))


def test_topics_start_from_the_frequencies_of_words() -> None:
    spec = DataSpec((4,), "count", offset=(0.0, 1.0, 5.0, 94.0))
    model = recipes.topic_vae(spec, latent=3, hidden=(5,)).model
    share = model.decode(torch.zeros(3)).mean / 100
    torch.testing.assert_close(share, torch.tensor([2.5e-5, 0.01, 0.05, 0.94]), atol=1e-5, rtol=1e-3)


def test_binomial_is_that_of_scipy() -> None:
    part = likelihoods.Binomial(Put(torch.tensor([0.7], dtype=torch.float64)), levels=11, offset=4.0).double()
    y = special.expit(math.log(0.4 / 0.6) + 0.7)
    k = torch.arange(11.0).double()
    expected = torch.tensor(stats.binom.logpmf(k.numpy(), 10, y))
    torch.testing.assert_close(part(torch.zeros(1).double()).log_prob(k[:, None]), expected)
