"""Models whose evidence is known: linear-Gaussian ones with hand-set weights, and small ones for quadrature."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from elbox import VAE
from elbox.distributions import diagonal_normal
from elbox.likelihoods import Bernoulli, FixedGaussian
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal, FullNormal
from elbox.priors import LearnedNormal, StandardNormal

SIGMA = 0.7


def unclipped(log_scale: Tensor) -> Tensor:
    """The network output whose `soft_clip` is `log_scale`."""
    return log_scale / (1 - log_scale.abs() / 10)


def set_affine(net: MLP, weight: Tensor, bias: Tensor) -> None:
    """Make the network h ↦ weight h + bias; it has no hidden layers."""
    (layer,) = net.net
    with torch.no_grad():
        layer.weight.copy_(weight.reshape(layer.weight.shape))
        layer.bias.copy_(bias.reshape(layer.bias.shape))


class LinearGaussian:
    """p(z) = N(m, diag s²), p(x|z) = N(Wz + b, σ²I) in float64; q is the exact posterior, `wider` times as wide."""

    def __init__(self, prior: nn.Module, *, latent: int = 2, dims: int = 4, wider: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(1)
        self.w = torch.randn(dims, latent, generator=generator, dtype=torch.float64)
        self.b = torch.randn(dims, generator=generator, dtype=torch.float64)
        prior = prior.double()
        self.m, self.s = prior().mean.detach(), prior().stddev.detach()
        likelihood = FixedGaussian(MLP(latent, [], dims), SIGMA)
        set_affine(likelihood.net, self.w, self.b)
        covariance = torch.linalg.inv(torch.diag(1 / self.s**2) + self.w.T @ self.w / SIGMA**2)
        gain = covariance @ self.w.T / SIGMA**2
        lower = torch.linalg.cholesky(covariance) * wider
        net = MLP(dims, [], FullNormal.output_shape(latent))
        weight = torch.zeros(2 + latent, latent, dims, dtype=torch.float64)
        weight[0] = gain
        mean = covariance @ (self.m / self.s**2) - gain @ self.b
        log_scale = unclipped(lower.diagonal().log())
        bias = torch.cat([mean[None], log_scale[None], lower])
        self.model = VAE(prior, likelihood, FullNormal(net, latent)).double()
        set_affine(net, weight, bias)
        set_affine(likelihood.net, self.w, self.b)  # again, now in float64

    @property
    def evidence(self) -> MultivariateNormal:
        eye = torch.eye(len(self.b), dtype=torch.float64)
        return MultivariateNormal(self.b + self.w @ self.m, self.w @ torch.diag(self.s**2) @ self.w.T + SIGMA**2 * eye)

    def data(self, n: int) -> Tensor:
        torch.manual_seed(5)
        return self.evidence.sample((n,))


def learned_normal(latent: int = 2) -> LearnedNormal:
    prior = LearnedNormal(latent)
    with torch.no_grad():
        prior.mean.copy_(torch.linspace(-0.5, 1, latent))
        prior.log_scale.copy_(torch.linspace(-0.4, 0.3, latent))
    return prior


def bernoulli_vae(prior: nn.Module, latent: int, dims: int = 6) -> VAE:
    """A non-linear decoder and q = N(0, 1.5² I) whatever x is: wide enough for weights of finite variance."""
    torch.manual_seed(2)
    decoder, encoder = MLP(latent, [5], dims, nn.Tanh), MLP(dims, [], (2, latent))
    scale = unclipped(torch.full((latent,), math.log(1.5)))
    set_affine(encoder, torch.zeros(2 * latent, dims), torch.cat([torch.zeros(latent), scale]))
    with torch.no_grad():
        for layer in (decoder.net[0], decoder.net[2]):
            layer.weight.mul_(2)
    return VAE(prior, Bernoulli(decoder), DiagonalNormal(encoder, latent))


@torch.no_grad()
def by_quadrature(model: VAE, x: Tensor, latent: int) -> Tensor:
    """log p(x) = log ∫ p(z) p(x|z) dz of one example, on a grid over [−9, 9]^latent."""
    points = torch.linspace(-9, 9, {1: 4001, 2: 361}[latent], dtype=torch.float64)
    z = torch.cartesian_prod(*[points] * latent).reshape(-1, latent).float()
    log_joint = (model.prior(None).log_prob(z) + model.decode(z).log_prob(x)).double()
    return torch.logsumexp(log_joint, 0) + latent * torch.log(points[1] - points[0])


class Undescribed(nn.Module):
    """A diagonal normal posterior that, like a flow, knows neither its mean nor a closed-form KL."""

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, c: Tensor) -> torch.distributions.Distribution:
        q = self.posterior(c).base_dist
        shift = torch.distributions.AffineTransform(q.loc, q.scale, event_dim=1)
        return torch.distributions.TransformedDistribution(
            diagonal_normal(torch.zeros_like(q.loc), torch.ones(())), [shift]
        )


def two_of_five(dims: int = 6) -> VAE:
    """A VAE in which just the latent dimensions 1 and 4 depend on x, 4 more than 1; the others are N(0, 1)."""
    encoder = MLP(dims, [], (2, 5))
    weight = torch.zeros(2, 5, dims)
    weight[0, 1, 0], weight[0, 4, 1] = 0.5, 1.5
    set_affine(encoder, weight, torch.zeros(2, 5))
    return VAE(StandardNormal(5), FixedGaussian(MLP(5, [], dims)), DiagonalNormal(encoder, 5))
