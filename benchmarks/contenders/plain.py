"""The loop of PyTorch's own VAE example: a DataLoader, sigmoid and binary cross-entropy, `.item()` in every step."""

from __future__ import annotations

__all__ = ["score", "train"]

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.contenders.nets import Nets
from benchmarks.worker import Gate
from benchmarks.workloads import Problem


def loss_of(nets: Nets, x: Tensor, samples: int) -> Tensor:
    """The negative bound, mean over the batch; with K = 1 the KL is in closed form, as in the example."""
    mu, log_std = nets.encode(x)
    if samples == 1:
        z = mu + log_std.exp() * torch.randn_like(mu)
        y = torch.sigmoid(nets.decode(z))
        bce = F.binary_cross_entropy(y, x, reduction="sum")
        return (bce - 0.5 * torch.sum(1 + 2 * log_std - mu.pow(2) - (2 * log_std).exp())) / len(x)
    eps = torch.randn(samples, *mu.shape)
    z = mu + log_std.exp() * eps
    y = torch.sigmoid(nets.decode(z.flatten(0, 1))).view(samples, *x.shape)
    log_px = -F.binary_cross_entropy(y, x.expand_as(y), reduction="none").sum(-1)
    log_w = log_px - 0.5 * z.pow(2).sum(-1) + (0.5 * eps.pow(2) + log_std).sum(-1)
    return math.log(samples) - torch.logsumexp(log_w, 0).mean()


def train(problem: Problem, gate: Gate) -> None:
    """Train as the example does."""
    torch.manual_seed(problem.seed)
    nets, work = Nets(problem), problem.workload
    optimizer = torch.optim.Adam(nets.parameters(), lr=1e-3)
    x = torch.from_numpy(problem.x).flatten(1).float()
    loader = DataLoader(TensorDataset(x), batch_size=work.batch, shuffle=True)
    while True:
        total = 0.0
        for (batch,) in loader:
            optimizer.zero_grad()
            loss = loss_of(nets, batch, work.samples)
            loss.backward()
            total += loss.item()
            optimizer.step()
        gate(nets.export)


@torch.no_grad()
def score(problem: Problem, gate: Gate, samples: int = 5000) -> None:
    """log p(x) with so many samples, one image at a time, which is what fits the cache."""
    nets, x = Nets(problem), torch.from_numpy(problem.x).flatten(1).float()
    while True:
        found = np.array([float(log_mean(nets, row, samples)) for row in x[:, None]])
        gate(lambda found=found: {"log_likelihood": found})  # type: ignore[misc]


def log_mean(nets: Nets, x: Tensor, samples: int, chunk: int = 1000) -> Tensor:
    """log (1/S) Σ w of one image [1, 784]."""
    mu, log_std = nets.encode(x)
    parts = []
    for _ in range(samples // chunk):
        eps = torch.randn(chunk, mu.shape[1])
        z = mu + log_std.exp() * eps
        bce = F.binary_cross_entropy_with_logits(nets.decode(z), x.expand(chunk, -1), reduction="none")
        parts.append(-bce.sum(-1) - 0.5 * z.pow(2).sum(-1) + (0.5 * eps.pow(2) + log_std).sum(-1))
    return torch.logsumexp(torch.cat(parts), 0) - math.log(samples)
