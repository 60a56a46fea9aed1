"""Small training steps for the tests of the engine, which knows no models and needs none."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ToyVAE(nn.Module):
    """A Bernoulli VAE written out by hand, with noise from the global generator, so that every random number counts."""

    def __init__(self, dims: int = 12, hidden: int = 16, latent: int = 3, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = nn.Sequential(nn.Linear(dims, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, dims))
        self.register_buffer("progress", torch.zeros(()), persistent=False)
        self.seen: list[float] = []

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = x.to(self.progress.dtype)
        mean, log_std = self.encoder(x).chunk(2, -1)
        z = mean + torch.randn_like(mean) * log_std.exp()
        distortion = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1).mean()
        rate = (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(-1).mean()
        logs = {"elbo": -(distortion + rate), "distortion": distortion, "rate": rate}
        return distortion + rate, {name: value.detach() for name, value in logs.items()}


class Quadratic(nn.Module):
    """Loss ½ ‖w − mean of the batch‖²: no noise, and one weight a dimension."""

    def __init__(self, dims: int = 2) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(dims))
        self.register_buffer("progress", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss = 0.5 * (self.w - x.to(self.w.dtype).mean(0)).square().sum()
        return loss, {"distortion": loss.detach()}


def bits(n: int = 70, dims: int = 12, seed: int = 1) -> Tensor:
    """Random correlated bits [n, dims] as bytes."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(n, 1, generator=generator).expand(n, dims)
    return (torch.rand(n, dims, generator=generator) < p).to(torch.uint8)


def held_out_bound(step: ToyVAE, x: Tensor):
    """A held-out evaluation that draws random numbers from every generator, as a careless user's might."""
    import random

    import numpy as np

    def held_out() -> dict[str, float]:
        random.random(), np.random.rand()
        assert not step.training
        _, logs = step(x)
        return {"bound": float(logs["elbo"]), "distortion": float(logs["distortion"])}

    return held_out
