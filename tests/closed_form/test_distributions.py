"""Priors, posteriors and the small distributions: the formulas of their docstrings, normalisation, and no overflow."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal

from elbox import distributions
from elbox.distributions import Code, Delta, Tokens, diagonal_normal, soft_clip
from elbox.posteriors import Corrupted, Deterministic, DiagonalNormal, FullNormal
from tests.closed_form.linear import DIMS, LATENT, SIGMA, affine, data, linear_gaussian
from tests.closed_form.test_kl import grid
from tests.components import FEATURES, make, of


class Say(nn.Module):
    """A "network" that says the same for every input."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, x: Tensor) -> Tensor:
        return self.value.expand(len(x), *self.value.shape)


def every_code(p: Code | Tokens) -> Tensor:
    """All points with a probability."""
    if isinstance(p, Code):
        return p.codes()
    digits = torch.cartesian_prod(*[torch.arange(p.codebook.size)] * (p.positions * p.codebook.depth))
    return p.codebook(digits.unflatten(-1, (p.positions, p.codebook.depth)))


TOLERANCE = {
    "priors.Flow": 1e-4,  # its networks have kinks, which a grid does not follow
    "priors.Diffusion": 2e-3,  # that of its solver; exact cases are in test_diffusion.py
}
ELSEWHERE = (
    "priors.SphericalUniform",  # a density on the sphere, test_spheres.py
    "priors.SecondStage",  # an estimate of a density, test_second_stage.py
)
WITHOUT_MOMENTS = (
    "priors.Flow",
    "priors.Diffusion",
    "priors.SecondStage",
    "priors.Standardized",
    "priors.WrappedNormal",
    "priors.RiemannianNormal",
    "priors.SphericalUniform",
)  # in closed form


@pytest.mark.parametrize("name", [p for p in of("priors") if p not in ELSEWHERE])
def test_prior_integrates_to_one(name: str) -> None:
    p = make(name).double()()
    z, area = (every_code(p), 1.0) if isinstance(p, Code | Tokens) else grid()
    assert p.log_prob(z).exp().sum().item() * area == pytest.approx(1, abs=TOLERANCE.get(name, 1e-9))


@pytest.mark.parametrize("name", [p for p in of("priors") if p not in WITHOUT_MOMENTS])
def test_prior_samples_have_its_moments(name: str) -> None:
    p = make(name)()
    z = p.sample((100_000,))
    if isinstance(p, Tokens):  # the moments of all its points
        points = every_code(p)
        weight = p.log_prob(points).exp()[:, None]
        mean = (weight * points).sum(0)
        assert ((z.mean(0) - mean).abs() < 4 * z.std(0) / math.sqrt(len(z))).all()
        torch.testing.assert_close(z.var(0), (weight * (points - mean).square()).sum(0), rtol=0.05, atol=0)
        return
    assert ((z.mean(0) - p.mean).abs() < 4 * z.std(0) / math.sqrt(len(z))).all()
    torch.testing.assert_close(z.var(0), p.variance, rtol=0.05, atol=0)


def test_mixture_is_the_sum_of_its_normals() -> None:
    """p(z) = Σ_m π_m Π_d N(z_d; μ_md, σ_md), by hand."""
    part, z = make("priors.NormalMixture"), torch.randn(7, 2)
    weights, scales = part.logits.softmax(0), soft_clip(part.log_scales).exp()
    each = Normal(part.means, scales).log_prob(z[:, None]).sum(-1).exp()
    torch.testing.assert_close(part().log_prob(z), (each @ weights).log())


def test_learned_normal_starts_as_the_standard_normal() -> None:
    from elbox.priors import LearnedNormal, StandardNormal

    z = torch.randn(7, 3)
    assert torch.equal(LearnedNormal(3)().log_prob(z), StandardNormal(3)().log_prob(z))


def test_diagonal_posterior() -> None:
    """μ, then s with σ = exp(soft_clip(s)): one map from a network's output to a scale, wherever it is used."""
    h = torch.randn(2, 3)
    q = DiagonalNormal(Say(h), 3)(torch.zeros(4, 1))
    torch.testing.assert_close(q.mean, h[0].expand(4, 3))
    torch.testing.assert_close(q.stddev, soft_clip(h[1]).exp().expand(4, 3))


def test_full_posterior() -> None:
    """L = L_mask ⊙ L' + diag σ and log|det L| = Σ log σ (Kingma & Welling, 2019, §2.5.1)."""
    h = torch.randn(5, 3)
    q = FullNormal(Say(h), 3)(torch.zeros(4, 1))
    factor = torch.tril(h[2:], -1) + torch.diag(soft_clip(h[1]).exp())
    torch.testing.assert_close(q.mean, h[0].expand(4, 3))
    torch.testing.assert_close(q.covariance_matrix, (factor @ factor.T).expand(4, 3, 3))
    torch.testing.assert_close(torch.logdet(factor), soft_clip(h[1]).sum())


def test_full_posterior_ignores_what_is_above_the_diagonal() -> None:
    net = Say(torch.randn(5, 3))
    FullNormal(net, 3)(torch.zeros(1, 1)).log_prob(torch.randn(3)).backward()
    assert (net.value.grad[2:].triu() == 0).all()
    assert (net.value.grad[:2] != 0).all()


@settings(max_examples=60, deadline=None)
@given(output=st.floats(-1e6, 1e6))
@pytest.mark.parametrize("cls", [DiagonalNormal, FullNormal])
def test_no_network_output_breaks_a_posterior(cls: type[DiagonalNormal], output: float) -> None:
    """σ stays in e^{±10}: samples, their density and its gradient are finite, in single precision."""
    net = Say(torch.full(cls.output_shape(2), output))
    q = cls(net, 2)(torch.zeros(1, 1))
    z = q.rsample()
    log_q = q.log_prob(z)
    log_q.sum().backward()
    assert log_q.isfinite().all()
    assert net.value.grad.isfinite().all()
    assert z.isfinite().all()


@settings(max_examples=100, deadline=None)
@given(x=st.floats(-1e30, 1e30), bound=st.floats(0.1, 100))
def test_soft_clip(x: float, bound: float) -> None:
    """Within ±bound, odd, never steeper than the identity, with a finite gradient everywhere."""
    t = torch.tensor(x, requires_grad=True)
    y = soft_clip(t, bound)
    y.backward()
    assert y.abs() <= bound * (1 + 1e-6)
    assert y.abs() <= abs(x) * (1 + 1e-6)
    assert -1e-9 <= t.grad <= 1  # 1 / (1 + |x| / bound)², up to rounding
    assert torch.equal(soft_clip(-t, bound), -y)


def test_soft_clip_is_the_identity_near_zero() -> None:
    t = torch.tensor([-1e-3, 0.0, 1e-3], dtype=torch.float64)
    torch.testing.assert_close(soft_clip(t), t, atol=1.1e-7, rtol=0)


@pytest.mark.parametrize("event_dims", [1, 2])
def test_delta(event_dims: int) -> None:
    """All mass at its value: log-probability 0 there and −∞ elsewhere; samples carry the gradient."""
    value = torch.randn(3, 2, 4, requires_grad=True)
    d = Delta(value, event_dims)
    assert d.batch_shape + d.event_shape == value.shape
    assert len(d.event_shape) == event_dims
    assert torch.equal(d.log_prob(value), torch.zeros(d.batch_shape))
    assert (d.log_prob(value + 1) == -torch.inf).all()
    assert torch.equal(d.rsample((5,)), value.expand(5, 3, 2, 4))
    d.rsample((5,)).sum().backward()
    assert (value.grad == 5).all()


def test_deterministic_code_is_the_network() -> None:
    part, x = make("posteriors.Deterministic"), torch.randn(3, FEATURES)
    assert torch.equal(part(x).mean, part.net(x))
    assert torch.equal(part(x).rsample((2,)), part.net(x).expand(2, 3, 2))


def test_corruption_by_hand() -> None:
    """x̃ = m ⊙ x + (1 − m) · blank + noise · ε, with m ~ Bernoulli(1 − masking); in training mode only."""
    seen = []

    class Spy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x[:, :1]

    x = torch.full((20_000, 5), 3.0)
    part = Corrupted(Deterministic(Spy(), 1), masking=0.3, blank=-2.0)
    part(x)
    part.eval()(x)
    masked = (seen[0] == -2).float().mean().item()
    assert set(seen[0].unique().tolist()) == {-2.0, 3.0}
    assert masked == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / 1e5))
    assert torch.equal(seen[1], x)
    assert part.deterministic
    Corrupted(Deterministic(Spy(), 1), noise=0.5)(x)
    assert (seen[2] - x).mean().item() == pytest.approx(0, abs=4 * 0.5 / math.sqrt(1e5))
    assert (seen[2] - x).std().item() == pytest.approx(0.5, rel=0.02)


def test_samples_of_a_model_have_its_moments() -> None:
    """Ancestral samples of a linear-Gaussian model: mean Wm + b, covariance WSWᵀ + σ²I."""
    model, n = linear_gaussian("full", "learned"), 100_000
    w, b = affine(model.likelihood.net)
    x, mean = model.sample(n), model.prior().mean @ w.T + b
    covariance = w @ torch.diag(model.prior().variance) @ w.T + SIGMA**2 * torch.eye(DIMS).double()
    assert ((x.mean(0) - mean).abs() < 4 * x.std(0) / math.sqrt(n)).all()
    error = MultivariateNormal(mean, covariance).sample((n,)).T.cov() - covariance  # how much chance alone makes
    assert (x.T.cov() - covariance).abs().max() < 4 * error.abs().max()
    means = model.sample(n, mean=True)
    assert (means.T.cov() - covariance + SIGMA**2 * torch.eye(DIMS).double()).abs().max() < 4 * error.abs().max()


def test_reconstruction_is_the_mean_at_the_mean() -> None:
    model, x = linear_gaussian("full"), data()
    w, b = affine(model.likelihood.net)
    torch.testing.assert_close(model.reconstruct(x), model.encode(x).mean @ w.T + b)
    torch.testing.assert_close(model.decode(torch.ones(3, LATENT).double()).mean, (w.sum(1) + b).expand(3, DIMS))


def test_diagonal_normal_sums_over_its_event() -> None:
    m, s, x = torch.randn(3, 2, 4), torch.rand(4) + 0.1, torch.randn(3, 2, 4)
    for dims in (1, 2):
        expected = Normal(m, s).log_prob(x).flatten(-dims).sum(-1)
        torch.testing.assert_close(diagonal_normal(m, s, dims).log_prob(x), expected)


@given(st.integers(1, 200) | st.sampled_from([256, 784, 1024]), st.floats(0.1, 1e4), st.integers(0, 10))
def test_bits_are_bernoulli(size: int, spread: float, seed: int) -> None:
    """One logarithm a block is the logarithm of each, for every number of bits and every size of the logits."""
    generator = torch.Generator().manual_seed(seed)
    logits = (spread * torch.randn(2, 3, size, generator=generator, dtype=torch.float64)).requires_grad_()
    x = torch.rand(3, size, generator=generator).round().double()
    plain = Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False).log_prob(x)
    value = distributions.Bits(logits, 1).log_prob(x)
    torch.testing.assert_close(value, plain, rtol=1e-9, atol=1e-9)
    for one, other in zip(*(torch.autograd.grad(v.sum(), logits) for v in (value, plain)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_bits_differentiate_twice_and_by_example() -> None:
    logits, x = torch.randn(2, 3, 12, dtype=torch.float64, requires_grad=True), torch.rand(3, 12).double()

    def log_prob(logits: Tensor, x: Tensor) -> Tensor:
        return distributions.Bits(logits, 1).log_prob(x)

    assert torch.autograd.gradgradcheck(log_prob, (logits, x.requires_grad_()))
    by_example = torch.func.vmap(torch.func.grad(lambda one: log_prob(one, x[0])))(logits[:, 0])
    torch.testing.assert_close(by_example, (x[0] - logits[:, 0].sigmoid()).detach())


def test_bits_expand_and_sample() -> None:
    bits = distributions.Bits(torch.randn(3, 1, 2, 2), 3).expand((5, 3))
    assert (bits.batch_shape, bits.event_shape) == ((5, 3), (1, 2, 2))
    assert bits.log_prob(bits.sample()).shape == (5, 3)
    assert bits.mean.shape == (5, 3, 1, 2, 2)
