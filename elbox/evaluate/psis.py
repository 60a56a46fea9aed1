r"""Pareto-smoothed importance sampling: how heavy the tail of the weights is, which says whether they can be trusted.

The M largest of S weights exceed the next one, u, by amounts that follow, for large S, a generalised Pareto
distribution

    F(y) = 1 − (1 + k y / σ)^(−1/k),      y = w − u ≥ 0,

whose shape k says how many moments the weights have: as many as are below 1/k. For k < ½ their variance is finite, for
k > 1 not even their mean exists; estimates can be relied on in practice as long as k ≤ 0.7.
"""

from __future__ import annotations

__all__ = ["UNRELIABLE", "pareto_fit", "pareto_smoothed"]

import math

import torch
from torch import Tensor

from elbox.errors import SettingError
from elbox.evaluate.weights import wide

UNRELIABLE = 0.7  # Vehtari et al. (2024), §3.2.4
FLAT = 1e-3  # the largest weight exceeds the others of the tail by so little that rounding makes up the rest
FEWEST = 25  # samples, of which the tail has 5
PRIOR_SIZE, PRIOR_SHAPE = 10, 0.5  # Vehtari et al. (2024), as in loo and ArviZ: as ten more points of a tail with k = ½


def pareto_smoothed(log_w: Tensor) -> tuple[Tensor, Tensor]:
    r"""Log-weights whose M = ⌈min(S/5, 3√S)⌉ largest are replaced by quantiles of their Pareto fit, and its shape k̂.

    The j-th smallest of the M becomes u + F⁻¹((j − ½)/M), at most the largest weight there was.

    Reference: Vehtari, Simpson, Gelman, Yao & Gabry (2024), *Pareto smoothed importance
    sampling*; Yao et al. (2018), *Yes, but did it work?: evaluating variational inference* (k̂ of a posterior).

    Arguments:
        log_w: Log-weights of S samples for each of B examples, [S, B], nats.

    Returns:
        Smoothed log-weights, in the order of those given, [S, B], and k̂, [B]; −∞ where the weights of the tail are
        equal to a thousandth of the largest. Both in float64.

    Raises:
        SettingError: if there are fewer than 25 samples.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> u = torch.rand(4000, 1)
        >>> _, k = pareto_smoothed(torch.cat([-0.9 * u.log(), -0.2 * u.log()], 1))  # weights u^−k have shape k
        >>> bool((k - torch.tensor([0.9, 0.2])).abs().max() < 0.15)
        True
    """
    count = len(log_w)
    if count < FEWEST:
        raise SettingError(f"got {count} samples for a Pareto fit; expected at least {FEWEST}: raise samples")
    ordered, order = torch.sort(wide(log_w) - wide(log_w).amax(0), dim=0)  # the largest weight is 1
    tail = math.ceil(min(count / 5, 3 * math.sqrt(count)))
    cutoff = ordered[-tail - 1].exp()
    excess = ordered[-tail:].exp() - cutoff
    shape, scale = pareto_fit(torch.where(excess[-1] > FLAT, excess, 0.0))
    p = ((torch.arange(tail, dtype=shape.dtype, device=shape.device) + 0.5) / tail)[:, None]
    smooth = (cutoff + scale * torch.expm1(-shape * torch.log1p(-p)) / shape).clamp(max=1.0).log()
    body = torch.where(shape.isfinite(), smooth, ordered[-tail:])
    replaced = torch.cat([ordered[:-tail], body]) + wide(log_w).amax(0)
    return torch.empty_like(replaced).scatter_(0, order, replaced), shape


def pareto_fit(y: Tensor) -> tuple[Tensor, Tensor]:
    r"""Shape k and scale σ of generalised Pareto distributions, by the posterior mean of θ = −k/σ over a grid.

        θ_i = 1/y_M + (1 − √(m / (i − ½))) / (3 y_⌊M/4 + ½⌋),   i = 1 … m = 30 + ⌊√M⌋,
        k(θ) = (1/M) Σ_j log(1 − θ y_j),   ℓ(θ) = M (log(−θ / k(θ)) − k(θ) − 1),   θ̂ = Σ_i θ_i softmax(ℓ)_i,

    and then k̂ = k(θ̂), σ̂ = −k̂/θ̂; the k̂ that is returned is pulled towards ½ as if ten more points said so. (Zhang &
    Stephens write k with the other sign.)

    Reference: Zhang & Stephens (2009), *A new and efficient estimation method for the generalized Pareto
    distribution*, Technometrics 51; Vehtari et al. (2024) (the pull towards ½).

    Arguments:
        y: Points ≥ 0 in rising order, [M, B].

    Returns:
        k̂ and σ̂, [B]; −∞ and 0 where all points are 0.

    Example:
        >>> p = (torch.arange(2000) + 0.5) / 2000
        >>> k, sigma = pareto_fit(2.0 * ((1 - p) ** -0.6 - 1)[:, None] / 0.6)
        >>> bool((k - 0.6).abs() < 0.02), bool((sigma - 2.0).abs() < 0.05)
        (True, True)
    """
    y = wide(y)
    count, largest = len(y), y[-1]
    flat = largest <= 0
    y = y / torch.where(flat, 1.0, largest)
    y = y.clamp(min=torch.finfo(y.dtype).eps)  # ties with the cut-off, or weights too small for floats
    grid = 30 + int(math.sqrt(count))
    i = torch.arange(1, grid + 1, dtype=y.dtype, device=y.device)[:, None]
    theta = 1 / y[-1] + (1 - (grid / (i - 0.5)).sqrt()) / (3 * y[int(count / 4 + 0.5) - 1])  # [m, B]
    k = torch.log1p(-theta[:, None] * y).mean(1)
    likelihood = count * ((-theta / k).log() - k - 1)
    best = (theta * torch.softmax(likelihood, 0)).sum(0)
    shape = torch.log1p(-best * y).mean(0)
    scale = torch.where(flat, 0.0, -shape / best * largest)
    pulled = (count * shape + PRIOR_SIZE * PRIOR_SHAPE) / (count + PRIOR_SIZE)
    return torch.where(flat, -math.inf, pulled), scale
