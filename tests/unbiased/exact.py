"""Exact gradients of objectives, by quadrature over a latent plane or by enumeration of discrete codes.

Nothing here draws, reparameterises or reuses an objective of elbox: the expectation E_{z_1…z_K ~ q} of the textbook
formula is a weighted sum over nodes, and autograd differentiates weights and summands alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from elbox import VAE

Gradient = dict[str, Tensor]


class Nodes(NamedTuple):
    """For one example: weights q(z_n|x) dz, summing to 1, and the three log-densities, each [N]."""

    weight: Tensor
    log_px: Tensor
    log_pz: Tensor
    log_qz: Tensor

    @property
    def log_w(self) -> Tensor:
        return self.log_px + self.log_pz - self.log_qz


class Grid(NamedTuple):
    """Values of z, [N, D], and the volume around each: 1 for discrete codes."""

    z: Tensor
    cell: float


def line(n: int, half_width: float = 12.0) -> Grid:
    """Nodes of the trapezoid rule, which converges exponentially for smooth densities."""
    axis = torch.linspace(-half_width, half_width, n, dtype=torch.float64)
    return Grid(axis[:, None], (axis[1] - axis[0]).item())


def plane(n: int = 49, half_width: float = 12.0) -> Grid:
    axis, h = line(n, half_width)
    return Grid(torch.cartesian_prod(axis[:, 0], axis[:, 0]), h**2)


def codes(dims: int) -> Grid:
    """All binary codes of D bits."""
    return Grid(torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * dims).reshape(-1, dims), 1.0)


def nodes(model: VAE, x: Tensor, grid: Grid, seen: Tensor | None = None) -> list[Nodes]:
    """The nodes that matter for each example of x [B, F]; q is conditioned on `seen` where that differs from x."""
    z = grid.z[:, None].expand(-1, len(x), -1)
    log_q = model.posterior(x if seen is None else seen).log_prob(z)
    log_px, log_p = model.likelihood(z).log_prob(x), model.prior().log_prob(z)
    weight = log_q.exp() * grid.cell
    assert (weight.sum(0) - 1).abs().max() < 1e-6, "the grid is too coarse or too small"
    found = []
    for b in range(len(x)):
        keep = weight[:, b] > 1e-12
        found.append(Nodes(*(t[keep, b] for t in (weight, log_px, log_p, log_q))))
    return found


Formula = Callable[[Nodes], Tensor]


def elbo(beta: float = 1.0) -> Formula:
    return lambda n: (n.weight * (n.log_px - beta * (n.log_qz - n.log_pz))).sum()


def rate(beta: float) -> Formula:
    return lambda n: -beta * (n.weight * (n.log_qz - n.log_pz)).sum()


def renyi(alpha: float, samples: int) -> Formula:
    """E 1/(1 − α) log (1/K) Σ_k w_k^{1−α} over all K-tuples of nodes."""

    def formula(n: Nodes) -> Tensor:
        total, weight = (1 - alpha) * n.log_w, n.weight
        for _ in range(samples - 1):
            total = torch.logaddexp(total[..., None], (1 - alpha) * n.log_w)
            weight = weight[..., None] * n.weight
        return (weight * (total - math.log(samples))).sum() / (1 - alpha)

    return formula


def combined(beta: float, samples: int) -> Formula:
    """β ELBO + (1 − β) IWAE."""
    return lambda n: beta * elbo()(n) + (1 - beta) * renyi(0.0, samples)(n)


def tuples(values: Tensor, samples: int) -> Tensor:
    """The values of all K-tuples of nodes, [N, …, N, K]."""
    return torch.stack(torch.meshgrid(*[values] * samples, indexing="ij"), -1)


def thermodynamic(betas: tuple[float, ...], samples: int, *, right: bool = False) -> Formula:
    """E Σ_s (β_{s+1} − β_s) Σ_k ŵ_k log w_k over all K-tuples, with weights ŵ ∝ w^β at the left or right end."""

    def formula(n: Nodes) -> Tensor:
        log_w, weight = tuples(n.log_w, samples), tuples(n.weight, samples).prod(-1)
        total = torch.zeros_like(weight)
        for low, high in itertools.pairwise(betas):
            w = (log_w * (high if right else low)).exp()
            total = total + (high - low) * (w * log_w).sum(-1) / w.sum(-1)
        return (weight * total).sum()

    return formula


def covariance(betas: tuple[float, ...], samples: int) -> Formula:
    """A scalar whose gradient is the expectation of the covariance estimator's, with all its bias.

    Masrani et al. (2019), §4: Σ_s Δβ_s (Ê[∇f] + Ĉov[∇ log π̃, f]), log π̃ = β log p + (1 − β) log q, at fixed samples.
    """

    def formula(n: Nodes) -> Tensor:
        weight = tuples(n.weight, samples).prod(-1).detach()
        log_q, log_p = tuples(n.log_qz, samples), tuples(n.log_px + n.log_pz, samples)
        f = log_p - log_q
        total = torch.zeros_like(weight)
        for low, high in itertools.pairwise(betas):
            w = torch.softmax(low * f, -1).detach()
            centred = (f - (w * f).sum(-1, keepdim=True)).detach()
            path = low * log_p + (1 - low) * log_q
            total = total + (high - low) * ((w * f).sum(-1) + (w * centred * path).sum(-1))
        return (weight * total).sum()

    return formula


def capacity(c: float, beta: float, *, closed_form: bool) -> Formula:
    """E|r − C| of one sampled rate r, or |E r − C|, as the estimator gives the rate."""

    def formula(n: Nodes) -> Tensor:
        rate = n.log_qz - n.log_pz
        penalty = ((n.weight * rate).sum() - c).abs() if closed_form else (n.weight * (rate - c).abs()).sum()
        return (n.weight * n.log_px).sum() - beta * penalty

    return formula


def of_players(generative: Gradient, inference: Gradient) -> Gradient:
    """The posterior's gradient from one objective, all others from another."""
    return {n: inference[n] if n.startswith("posterior") else generative[n] for n in generative}


def gradient(model: VAE, value: Tensor) -> Gradient:
    """Of a scalar, for every parameter by name; 0 where it does not depend on one."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def mean(formula: Formula, examples: list[Nodes]) -> Tensor:
    """The mean of a formula over the batch."""
    return torch.stack([formula(n) for n in examples]).mean()
