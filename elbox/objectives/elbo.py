"""The evidence lower bound, with the usual weights on its rate."""

from __future__ import annotations

__all__ = ["ELBO"]

import torch
from torch import Tensor

from elbox.errors import SettingError, check_number, check_whole
from elbox.objectives.base import Objective
from elbox.parts import part
from elbox.schedules import Schedule, check_weight, value_at
from elbox.terms import Terms


@part
class ELBO(Objective):
    r"""E_q[log p(x|z)] − β · KL(q(z|x) ‖ p(z)), a lower bound on log p(x) for β ≥ 1.

    - `beta` ≠ 1 weighs the rate: the β-VAE (Higgins et al., 2017, eq. 4), or a warm-up with a schedule.
    - `free_bits` = λ > 0 replaces the rate by Σ_j max(λ, mean over the batch of KL_j), with one j for each group of
      latent variables or, with `per_dimension`, for each dimension (Kingma et al., 2016, eq. 15, *free bits*). The
      maximum is of the rate as the estimator gives it: exact with `AnalyticKL`, of the sampled rate otherwise. That of
      auxiliary variables (`Group.below`), which may well be negative, has no floor.
    - `capacity` = C replaces the rate by |KL − C| (Burgess et al., 2018, eq. 8; there β is called γ).

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, eq. 3, 6 and 7.

    Arguments:
        beta: Weight of the rate ≥ 0, a number or a `Schedule`.
        free_bits: λ ≥ 0, nats (not bits, in spite of its name).
        capacity: C, nats, a number or a `Schedule`; None for none.
        samples: Number of posterior samples K for each example (L in the paper).
        per_dimension: Free bits for each latent dimension instead of each group.

    Raises:
        SettingError: if a weight is negative, free bits and capacity are both given, or there are no free bits to be
            had per dimension.

    Example:
        >>> from elbox.schedules import Linear
        >>> ELBO(beta=Linear(0, 1, over=0.1)).bound().arguments["beta"]
        1.0
    """

    uses_rate = True

    def __init__(
        self,
        beta: float | Schedule = 1.0,
        free_bits: float = 0.0,
        capacity: float | Schedule | None = None,
        samples: int = 1,
        *,
        per_dimension: bool = False,
    ) -> None:
        check_weight("beta", beta)
        check_number("free_bits", free_bits)
        check_whole("samples", samples)
        if capacity is not None:
            check_weight("capacity", capacity)
            if free_bits:
                raise SettingError("got both free_bits and capacity; expected one of them: both set the rate")
        if per_dimension and not free_bits:
            raise SettingError(
                "got per_dimension=True without free_bits, which are what there is to share out; expected free_bits > 0"
            )
        self.beta, self.free_bits, self.capacity = beta, free_bits, capacity
        self.samples, self.per_dimension = samples, per_dimension
        self.separable = free_bits == 0 and capacity is None

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return -terms.distortion - value_at(self.beta, progress) * self._penalised_rate(terms, progress)

    def _penalised_rate(self, terms: Terms, progress: Tensor | float) -> Tensor:
        if self.capacity is not None:
            return (terms.rate - value_at(self.capacity, progress)).abs()
        if self.free_bits == 0:
            return terms.rate
        own = [g for g in terms.groups.values() if not g.below]
        rates = [g.rate_per_dimension() if self.per_dimension else g.rate[:, None] for g in own]
        floored = sum(r.mean(0).clamp(min=self.free_bits).sum() for r in rates)
        whole = sum(g.rate.mean() for g in terms.groups.values() if g.below)
        return torch.zeros_like(terms.log_px[0]) + floored + whole  # one value for the batch, [B]

    def bound(self) -> ELBO:
        return ELBO(samples=self.samples)
