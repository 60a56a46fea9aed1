"""What one writes in PyTorch when speed matters: data resident as bytes, a compiled loss, the fused optimiser."""

from __future__ import annotations

__all__ = ["score", "train"]

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.contenders.nets import Nets
from benchmarks.worker import Gate
from benchmarks.workloads import Problem


def loss_of(nets: Nets, rows: Tensor, samples: int) -> Tensor:
    """The negative bound of bytes [B, 784], from logits."""
    x = rows.float()
    mu, log_std = nets.encode(x)
    mu, log_std = mu.float(), log_std.float()
    eps = torch.randn(samples, *mu.shape)
    z = mu + log_std.exp() * eps
    logits = nets.decode(z.flatten(0, 1)).float().view(samples, *x.shape)
    log_px = (x * logits - F.softplus(logits)).sum(-1)
    if samples == 1:
        rate = (0.5 * (mu**2 + (2 * log_std).exp() - 1) - log_std).sum(-1)
        return (rate - log_px[0]).mean()
    log_w = log_px - 0.5 * z.pow(2).sum(-1) + (0.5 * eps.pow(2) + log_std).sum(-1)
    return math.log(samples) - torch.logsumexp(log_w, 0).mean()


def train(problem: Problem, gate: Gate, bf16: bool = False) -> None:
    """Train with the loss compiled by inductor, in float32 or under bfloat16 autocast."""
    torch.manual_seed(problem.seed)
    nets, work = Nets(problem), problem.workload
    optimizer = torch.optim.Adam(nets.parameters(), lr=1e-3, fused=True)
    x = torch.from_numpy(problem.x).flatten(1)

    @torch.compile(fullgraph=True, dynamic=False)
    def loss_compiled(rows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return loss_of(nets, rows, work.samples)

    while True:
        order = torch.randperm(len(x))
        total = torch.zeros(())
        for at in order.split(work.batch):
            optimizer.zero_grad()
            loss = loss_compiled(x.index_select(0, at))
            loss.backward()
            total += loss.detach()
            optimizer.step()
        gate(nets.export)


@torch.no_grad()
def score(problem: Problem, gate: Gate, bf16: bool = False, samples: int = 5000, chunk: int = 1000) -> None:
    """log p(x), one image at a time, the log-weights of a chunk of samples in one compiled call."""
    nets, x = Nets(problem), torch.from_numpy(problem.x).flatten(1).float()

    @torch.compile(fullgraph=True, dynamic=False)
    def log_w(mu: Tensor, log_std: Tensor, row: Tensor) -> Tensor:
        eps = torch.randn(chunk, mu.shape[1])
        z = mu + log_std.exp() * eps
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = nets.decode(z)
        log_px = (row * logits.float() - F.softplus(logits.float())).sum(-1)
        return log_px - 0.5 * z.pow(2).sum(-1) + (0.5 * eps.pow(2) + log_std).sum(-1)

    while True:
        mu, log_std = nets.encode(x)
        found = np.zeros(len(x))
        for i in range(len(x)):
            parts = [log_w(mu[i : i + 1], log_std[i : i + 1], x[i : i + 1]) for _ in range(samples // chunk)]
            found[i] = float(torch.logsumexp(torch.cat(parts), 0)) - math.log(samples)
        gate(lambda found=found: {"log_likelihood": found})  # type: ignore[misc]
