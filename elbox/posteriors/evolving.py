"""What the Hamiltonian posteriors share: a start, a momentum, a flow of both towards log p(x, z), and their density."""

from __future__ import annotations

__all__ = ["Evolving"]

import math
from abc import abstractmethod
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.types import _size
from zuko.lazy import LazyDistribution

from elbox.distributions.own_draws import OwnDraws
from elbox.errors import SettingError, check_number, check_whole
from elbox.hmc import Field, field_of
from elbox.posteriors.local_elbo import log_joint, refuse_of_batch


class Evolving(LazyDistribution):
    r"""Base of posteriors (z_0, ρ_0) ↦ (z_K, ρ_K) by K steps of a Hamiltonian flow, each followed by ρ ← α_k ρ.

    Momenta start hot, ρ_0 = √T_0 times a draw of r(ρ|z_0) = N(0, G(z_0)), and are cooled to temperature 1 by
    α_k = √T_k / √T_{k−1} with √T_k = (1 − √T_0) (k/K)² + √T_0. Steps of the flow have determinant 1, coolings the
    determinant Π_k α_k^D = T_0^{−D/2}: the one by which N(0, T_0 G) is less dense than N(0, G). So

        log q(z_K, ρ_K) = log q_0(z_0|x) + log N(ρ_0 / √T_0; 0, G(z_0)),

    and a draw is scored by that less log r(ρ_K|z_K).

    A subclass defines `start`, `log_momentum` and `step`.
    """

    own_draws = True

    def __init__(
        self, posterior: nn.Module, prior: nn.Module, likelihood: nn.Module, steps: int, temperature: float
    ) -> None:
        super().__init__()
        check_whole("steps", steps)
        check_number("temperature", temperature, positive=True)
        if temperature < 1:
            raise SettingError(f"got temperature={temperature}; expected at least 1, which is no tempering")
        refuse_of_batch(type(self).__name__, likelihood)
        self.posterior, self.prior, self.likelihood, self.steps = posterior, prior, likelihood, steps
        tempered = temperature > 1
        self.log_excess = nn.Parameter(torch.tensor(math.log(temperature - 1))) if tempered else None

    def cooling(self) -> Tensor:
        """√T_0 and the factors α_1 … α_K, [1 + K]; T_0 > 1 is learned, where there is tempering."""
        if self.log_excess is None:
            return torch.ones(1 + self.steps)
        k = torch.arange(1 + self.steps, device=self.log_excess.device) / self.steps
        root = (1 + self.log_excess.exp()).sqrt()
        roots = (1 - root) * k.to(root).square() + root
        return torch.cat([root[None], roots[1:] / roots[:-1]])

    def forward(self, c: Any = None) -> Distribution:
        return _Evolved(self, self.posterior(c), c)

    def field(self, c: Any) -> Field:
        """z ↦ log p(x, z) and its gradient, both differentiable further while gradients are recorded."""
        x, *condition = c if isinstance(c, tuple) else (c,)
        log_p = partial(log_joint, self.prior, self.likelihood, x=x, condition=condition)
        return field_of(log_p, through=torch.is_grad_enabled())

    def evolve(self, field: Field, z: Tensor, momentum: Tensor) -> tuple[Tensor, Tensor]:
        """The map (z_0, ρ_0) ↦ (z_K, ρ_K).

        Arguments:
            field: z ↦ log p(x, z) and its gradient.
            z: z_0, [..., D].
            momentum: ρ_0, [..., D].
        """
        slope = field(z)[1]
        for alpha in self.cooling()[1:]:
            z, momentum, slope = self.step(field, z, momentum, slope)
            momentum = alpha.to(z) * momentum  # of this step, at the next one's start
        return z, momentum

    @abstractmethod
    def start(self, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """A draw of N(0, G(z)) made of noise ~ N(0, I), [..., D], and its log-density, [...]."""

    @abstractmethod
    def log_momentum(self, z: Tensor, momentum: Tensor) -> Tensor:
        """log N(ρ; 0, G(z)), [...]."""

    @abstractmethod
    def step(self, field: Field, z: Tensor, momentum: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z', ρ' and ∇log p(x, z') after one step, with ∇log p(x, z) given."""


class _Evolved(OwnDraws):
    """q(z_K|x) of a batch of contexts, whose density with that of the momenta is known."""

    def __init__(self, posterior: Evolving, base: Distribution, context: Any) -> None:
        super().__init__(type(posterior).__name__, base.batch_shape, base.event_shape)
        self.posterior, self.base, self.context = posterior, base, context

    def rsample_and_log_prob(self, sample_shape: _size = torch.Size()) -> tuple[Tensor, Tensor]:  # noqa: B008
        own, count = self.posterior, torch.Size([torch.Size(sample_shape).numel()])
        if hasattr(self.base, "rsample_and_log_prob"):
            z, log_q = self.base.rsample_and_log_prob(count)
        else:
            z = self.base.rsample(count)
            log_q = self.base.log_prob(z)
        momentum, log_start = own.start(z, torch.randn_like(z))
        z, momentum = own.evolve(own.field(self.context), z, own.cooling()[0].to(z) * momentum)
        log_q = log_q + log_start - own.log_momentum(z, momentum)
        shape = self._extended_shape(sample_shape)
        return z.reshape(shape), log_q.reshape(shape[:-1])
