r"""Sums over samples that arrive in chunks, exact for any number of samples and any size of the chunks.

Nothing here averages averages: of the log-weights log w_1 … log w_S only

    log Σ_s w_s   and   log Σ_s w_s²

are carried from chunk to chunk, and every mean is a sum over all samples, divided by S once at the end. Sums are in
float64 where the device has it.
"""

from __future__ import annotations

__all__ = ["Sums", "Weights", "log_sums", "partial_sums", "posterior_mean", "wide"]

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from elbox.distributions.support import centre, curved
from elbox.errors import IncompatibleError
from elbox.terms import Group, Terms

LOG_SUM, LOG_SQUARES = "log Σ w", "log Σ w²"


class Weights:
    r"""log (1/S) Σ_s w_s and the effective sample size (Σ w)² / Σ w² of importance weights that arrive in chunks.

    Reference: Burda et al. (2016), *Importance weighted autoencoders*, eq. 8; Kong (1992), *A note on importance
    sampling using standardized weights* (the effective sample size).

    Example:
        >>> weights = Weights()
        >>> for chunk in torch.tensor([[0.0], [1.0], [2.0]]).split(2):
        ...     weights.add(chunk)
        >>> weights.log_mean(), torch.logsumexp(torch.tensor([0.0, 1.0, 2.0]), 0) - math.log(3)
        (tensor([1.3090], dtype=torch.float64), tensor(1.3090))
    """

    def __init__(self) -> None:
        self.count = 0
        self.log_sum: Tensor | None = None
        self.log_squares: Tensor | None = None

    def add(self, log_w: Tensor) -> None:
        """Take in the log-weights [K, B] of K more samples, nats."""
        log_w = wide(log_w)
        self.merge(torch.logsumexp(log_w, 0), torch.logsumexp(2 * log_w, 0), log_w.shape[0])

    def merge(self, log_sum: Tensor, log_squares: Tensor, samples: int) -> None:
        """Take in log Σ w and log Σ w², each [B], of `samples` more samples."""
        self.count += samples
        self.log_sum = _logaddexp(self.log_sum, log_sum)
        self.log_squares = _logaddexp(self.log_squares, log_squares)

    def log_mean(self) -> Tensor:
        """log (1/S) Σ_s w_s, [B], nats."""
        assert self.log_sum is not None
        return self.log_sum - math.log(self.count)

    def effective(self) -> Tensor:
        """(Σ w)² / Σ w², [B], between 1 and S."""
        assert self.log_sum is not None
        assert self.log_squares is not None
        return (2 * self.log_sum - self.log_squares).exp()


class Sums:
    """Means over samples of all that an evaluation reports, for one batch of examples.

    `mean("distortion")` and `mean("rate")` are [B]; `mean("rate_per_dimension")` and `mean("z")` are [B, D], the latent
    groups side by side but for auxiliary ones, which are not the model's (with them, there is no rate per dimension).
    What the model cannot give is missing from `totals`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.weights = Weights()
        self.totals: dict[str, Tensor] = {}

    def add(self, values: dict[str, Tensor], samples: int) -> None:
        """Take in what `partial_sums` found for `samples` more samples."""
        self.count += samples
        if LOG_SUM in values:
            self.weights.merge(values[LOG_SUM], values[LOG_SQUARES], samples)
        for name, value in values.items():
            if name not in (LOG_SUM, LOG_SQUARES):
                self.totals[name] = value if name not in self.totals else self.totals[name] + value

    def mean(self, name: str) -> Tensor:
        """The mean over all samples so far."""
        return self.totals[name] / self.count

    def spread(self) -> Tensor | None:
        """Variance of the error in `mean("z")` [B, D]: 0 for exact means; None without means or samples enough."""
        if "z" not in self.totals:
            return None
        z = self.mean("z")
        if "z²" not in self.totals:
            return torch.zeros_like(z)
        if self.count < 2:
            return None
        return (self.mean("z²") - z.square()).clamp(min=0) / (self.count - 1)


def partial_sums(terms: Terms) -> dict[str, Tensor]:
    """Sums over the K samples of `terms`, [B] or [B, D] each: all that an evaluation needs to keep of them."""
    samples = terms.log_px.shape[0]
    values = {"distortion": -wide(terms.log_px).sum(0)}
    groups = list(terms.with_kl().groups.values())
    if all(group.has_rate for group in groups):
        exact = all(group.kl is not None for group in groups)
        values["closed_form"] = torch.full_like(values["distortion"], float(samples * exact))
        values["rate"] = samples * torch.stack([wide(group.rate) for group in groups]).sum(0)
        per_dimension = [None if group.below else _rate_per_dimension(group) for group in groups]
        if all(rate is not None for rate in per_dimension):
            values["rate_per_dimension"] = samples * torch.cat([r for r in per_dimension if r is not None], -1)
        values |= log_sums(terms)
    return values | _latent([group for group in groups if not group.below], samples)


def log_sums(terms: Terms) -> dict[str, Tensor]:
    """log Σ w and log Σ w² over the K samples of `terms`, each [B]."""
    log_w = wide(terms.log_w)
    return {LOG_SUM: torch.logsumexp(log_w, 0), LOG_SQUARES: torch.logsumexp(2 * log_w, 0)}


def _latent(groups: list[Group], samples: int) -> dict[str, Tensor]:
    if any(curved(group.posterior) for group in groups):
        return {}  # a coordinate is no unit that could be active
    means = [posterior_mean(group.posterior) for group in groups]
    if all(m is not None and m.dim() == 2 for m in means):
        return {"z": samples * torch.cat([wide(m) for m in means if m is not None], -1)}
    z = wide(torch.cat([group.z for group in groups], -1))
    return {"z": z.sum(0), "z²": z.square().sum(0)}


def _rate_per_dimension(group: Group) -> Tensor | None:
    """[B, D]; the rate of a categorical variable is shared out evenly among the dimensions of its one-hot vector."""
    try:
        rate = wide(group.rate_per_dimension())
    except (IncompatibleError, NotImplementedError):
        return None
    rate = rate if rate.dim() == 2 else rate.mean(0)
    each = group.z.shape[-1] // rate.shape[-1]
    return (rate / each).repeat_interleave(each, -1)


def posterior_mean(q: Distribution) -> Tensor | None:
    """E_q[z], or None where no formula is known, as for flows."""
    return centre(q)


def wide(t: Tensor) -> Tensor:
    """In the precision in which sums are taken."""
    return t.float() if t.device.type == "mps" else t.double()  # mps has no float64


def _logaddexp(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else torch.logaddexp(a, b)
