"""Small models, smooth and with everything learned, in double precision, also with discrete codes; and a batch."""

from __future__ import annotations

from typing import Any

import torch
import zuko
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent
from zuko.lazy import LazyDistribution

from elbox import VAE
from elbox.likelihoods import Gaussian
from elbox.nn import MLP
from elbox.posteriors import Corrupted, DiagonalNormal, FullNormal
from elbox.priors import LearnedNormal, NormalMixture, StandardNormal

FEATURES = 3


def encoder(*outputs: int) -> MLP:
    return MLP(FEATURES, [3], outputs, nn.Tanh)


def flow(latent: int) -> nn.Module:
    return zuko.flows.MAF(latent, FEATURES, transforms=1, hidden_features=(4,), activation=nn.Tanh)


class CoinPosterior(LazyDistribution):
    """q(z|x) = Π_d Bernoulli(z_d; σ(net(x)_d))."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.net = encoder(latent)

    def forward(self, c: Any = None) -> Distribution:
        return Independent(Bernoulli(logits=self.net(c)), 1)


class CoinPrior(LazyDistribution):
    """p(z) = Π_d Bernoulli(z_d; σ(l_d)), learned."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(latent))

    def forward(self, c: Any = None) -> Distribution:
        return Independent(Bernoulli(logits=self.logits), 1)


POSTERIORS = {
    "DiagonalNormal": lambda d: DiagonalNormal(encoder(2, d), d),
    "FullNormal": lambda d: FullNormal(encoder(2 + d, d), d),
    "zuko.MAF": flow,
    "Corrupted": lambda d: Corrupted(DiagonalNormal(encoder(2, d), d), masking=0.3, blank=0.5),
    "Corrupted(zuko.MAF)": lambda d: Corrupted(flow(d), masking=0.3, blank=0.5),
    "Coins": CoinPosterior,
}
PRIORS = {
    "StandardNormal": StandardNormal,
    "LearnedNormal": LearnedNormal,
    "NormalMixture": lambda d: NormalMixture(d, components=2),
    "zuko.GMM": lambda d: zuko.mixtures.GMM(d, components=2),
    "Coins": CoinPrior,
}


def shaken(part: nn.Module, by: float = 0.25) -> nn.Module:
    """In double precision, away from every special point, with scales of order one; the same each time."""
    part = part.double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for t in part.parameters():
            t.copy_(0.4 * t + by * torch.randn(t.shape, generator=generator, dtype=t.dtype))
    return part


def model(
    posterior: str = "DiagonalNormal",
    prior: str = "StandardNormal",
    latent: int = 2,
    likelihood: nn.Module | None = None,
) -> VAE:
    """A VAE, the same each time; by default its likelihood is Gaussian with one learned variance, offset and scale."""
    torch.manual_seed(1)
    p = likelihood or Gaussian(MLP(latent, [3], FEATURES, nn.Tanh), offset=0.2, scale=1.3)
    return VAE(shaken(PRIORS[prior](latent), 0.5), shaken(p, 0.5), shaken(POSTERIORS[posterior](latent)))


def batch() -> Tensor:
    return torch.tensor([[1.0, -2.0, 3.0], [-2.0, 1.4, 0.6]], dtype=torch.float64)
