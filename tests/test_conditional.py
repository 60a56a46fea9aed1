"""Conditions pass through: the prior sees c, the posterior (x, c), the likelihood (z, c)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal
from zuko.lazy import LazyDistribution

from elbox import ELBO, IWAE, VAE, AnalyticKL, Path, Reparameterized, Score
from elbox.distributions import diagonal_normal
from elbox.likelihoods import Bernoulli, Gaussian
from elbox.nn import MLP, ConvDecoder, ConvEncoder
from elbox.posteriors import Corrupted, DiagonalNormal, FullNormal
from elbox.priors import NormalMixture, StandardNormal
from elbox.train.step import Step

B, F, D, C = 6, 5, 2, 3


class ConditionalPrior(LazyDistribution):
    """p(z|c) = N(net(c), I), made by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.net = MLP(C, [4], D)

    def forward(self, c: Any = None) -> Distribution:
        return diagonal_normal(self.net(c), torch.ones(D))


def vector_model(prior: nn.Module | None = None) -> VAE:
    return VAE(
        prior or ConditionalPrior(),
        Gaussian(MLP(D, [8], F, nn.Tanh, context=C)),
        DiagonalNormal(MLP(F, [8], (2, D), nn.Tanh, context=C), D),
    )


def image_model() -> VAE:
    image = (2, 9, 8)
    return VAE(
        ConditionalPrior(),
        Bernoulli(ConvDecoder(D, image, (3, 4), context=C)),
        FullNormal(ConvEncoder(image, (2 + D, D), (3, 4), context=C), D),
    )


MODELS = {
    "vectors": (vector_model, (F,)),
    "images": (image_model, (2, 9, 8)),
    "unconditional prior": (lambda: vector_model(StandardNormal(D)), (F,)),
    "mixture prior": (lambda: vector_model(NormalMixture(D, 3)), (F,)),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_verb_takes_the_condition(name: str) -> None:
    make, event = MODELS[name]
    model, x, c = make(), torch.rand(B, *event).round(), torch.randn(B, C)
    terms = model.terms(x, samples=4, c=c)
    assert terms.log_w.shape == (4, B)
    assert model.encode(x, c=c).batch_shape == (B,)
    assert model.decode(torch.randn(B, D), c=c).batch_shape == (B,)
    assert model.reconstruct(x, c=c).shape == (B, *event)
    assert model.sample(B, c=c).shape == model.sample(B, c=c, mean=True).shape == (B, *event)
    assert model.log_prob(x, samples=3, c=c).shape == (B,)


@pytest.mark.parametrize("name", MODELS)
def test_each_example_sees_its_own_condition(name: str) -> None:
    """Example b with condition b, for every sample: shuffling both together shuffles the objective."""
    make, event = MODELS[name]
    model, x, c = make().double(), torch.rand(B, *event).round().double(), torch.randn(B, C).double()

    def constant_noise(posterior: nn.Module, context: Any, samples: int) -> Any:
        from elbox.draws import Draw

        q = posterior(context)
        z = q.mean + 0.1 * torch.arange(samples)[:, None, None]
        return Draw(z, q.log_prob(z), q)

    order = torch.tensor([3, 1, 5, 0, 2, 4])
    log_w = model.terms(x, 3, c=c, draw=constant_noise).log_w
    torch.testing.assert_close(model.terms(x[order], 3, c=c[order], draw=constant_noise).log_w, log_w[:, order])
    assert not torch.allclose(model.terms(x, 3, c=c[order], draw=constant_noise).log_w, log_w)
    alone = [model.terms(x[b : b + 1], 3, c=c[b : b + 1], draw=constant_noise).log_w for b in range(B)]
    torch.testing.assert_close(torch.cat(alone, 1), log_w)


@pytest.mark.parametrize(
    "estimator", [Reparameterized(), AnalyticKL(), Path(), Score()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("name", ["vectors", "images"])
def test_training_step_reaches_every_part(name: str, estimator: Reparameterized) -> None:
    make, event = MODELS[name]
    model = make()
    step = Step(model, ELBO(samples=2), estimator)
    loss, logs = step(torch.rand(B, *event).round(), torch.randn(B, C))
    loss.backward()
    assert set(logs) == {"objective", "elbo", "distortion", "rate"}
    for parameter, p in model.named_parameters():
        assert p.grad is not None, parameter
        assert name == "images" or p.grad.any(), parameter


def test_corruption_leaves_the_condition_clean() -> None:
    class Spy(nn.Module):
        def forward(self, context: tuple[Tensor, Tensor]) -> Tensor:
            self.seen = context
            return torch.zeros(B, 2, D)

    spy, x, c = Spy(), torch.ones(B, F), torch.randn(B, C)
    Corrupted(DiagonalNormal(spy, D), masking=0.9, noise=1.0)((x, c))
    assert torch.equal(spy.seen[1], c)
    assert not torch.equal(spy.seen[0], x)


class Shifted(LazyDistribution):
    """p(x|z, c) = N(Az + Mc, σ²I), or q(z|x, c): affine in the pair, so that the evidence is known."""

    def __init__(self, a: Tensor, m: Tensor, cholesky: Tensor) -> None:
        super().__init__()
        self.a, self.m, self.cholesky = (nn.Parameter(t) for t in (a, m, cholesky))

    def forward(self, c: Any = None) -> Distribution:
        first, second = c
        return MultivariateNormal(first @ self.a.T + second @ self.m.T, scale_tril=self.cholesky)


def test_conditional_evidence_is_exact() -> None:
    """p(x|c) = N(Mc, AAᵀ + σ²I); with the true posterior every weight is log p(x|c)."""
    a, m, s = torch.randn(F, D).double(), torch.randn(F, C).double(), 0.6
    covariance = torch.linalg.inv(torch.eye(D).double() + a.T @ a / s**2)
    gain = covariance @ a.T / s**2
    model = VAE(
        StandardNormal(D).double(),
        Shifted(a, m, s * torch.eye(F).double()),
        Shifted(gain, -gain @ m, torch.linalg.cholesky(covariance)),
    )
    x, c = torch.randn(B, F).double(), torch.randn(B, C).double()
    exact = MultivariateNormal(c @ m.T, a @ a.T + s**2 * torch.eye(F).double()).log_prob(x)
    torch.testing.assert_close(model.terms(x, 5, c=c).log_w, exact.expand(5, B))
    torch.testing.assert_close(model.log_prob(x, 7, c=c), exact)
    torch.testing.assert_close(Path()(model, x, IWAE(3), c=c).loss, -exact.mean())
    drawn = model.sample(50_000, c=c[:1].expand(50_000, -1))
    error = drawn.std(0) / math.sqrt(50_000)
    assert ((drawn.mean(0) - m @ c[0]).abs() < 4 * error).all()
