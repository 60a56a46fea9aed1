r"""Negative binomial counts, plain and zero-inflated, by their mean and dispersion."""

from __future__ import annotations

__all__ = ["NegativeBinomial", "ZeroInflatedNegativeBinomial"]

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, Gamma, constraints
from torch.types import _size

from elbox.distributions.saddle import deviance, positive, stirling_rest


class NegativeBinomial(Distribution):
    r"""Counts k = 0, 1, 2, … with mean μ and variance μ + μ²/θ: a Poisson variable whose rate is gamma distributed.

        log P(k) = log Γ(k + θ)/(Γ(θ) k!) − θ log(1 + μ/θ) − k log(1 + θ/μ)

    For θ → ∞ it is the Poisson distribution. So that this holds in float32 too, and for large counts, with n = k + θ

        log P(k) = log(θ/n) + R(n) − R(θ) − R(k) − D(k, nμ/(μ + θ)) − D(θ, nθ/(μ + θ)),

    in which nothing cancels; see `elbox.distributions.saddle`.

    Reference: Lopez et al. (2018), *Deep generative modeling for single-cell transcriptomics*, Methods (with θ the
    inverse dispersion, as in scvi-tools); Hilbe (2011), *Negative binomial regression*, ch. 8.

    Arguments:
        mu: Mean μ > 0, any shape.
        theta: Inverse dispersion θ > 0, broadcastable with `mu`.

    Example:
        >>> p = NegativeBinomial(torch.tensor(2.0), torch.tensor(1.0))  # geometric
        >>> p.log_prob(torch.arange(3.0)).exp()
        tensor([0.3333, 0.2222, 0.1481])
    """

    arg_constraints = {"mu": constraints.positive, "theta": constraints.positive}
    support = constraints.nonnegative_integer

    def __init__(self, mu: Tensor, theta: Tensor) -> None:
        self.mu, self.theta = mu, theta
        super().__init__(torch.broadcast_shapes(mu.shape, theta.shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        mu, theta, k = self.mu, self.theta, positive(value)
        n, total = value + theta, mu + theta
        gap = (mu - value) * (theta / total)  # nμ/(μ + θ) − k, and θ − nθ/(μ + θ)
        grown = torch.log(n / total)
        of_k, of_theta = deviance(k, gap, torch.log(mu / k) + grown), deviance(theta, -gap, grown)
        ways = torch.log(theta / n) + stirling_rest(n) - stirling_rest(theta) - stirling_rest(value)
        return ways - of_k - of_theta

    def log_zero(self) -> Tensor:
        """log P(0) = −θ log(1 + μ/θ)."""
        return -self.theta * torch.log1p(self.mu / self.theta)

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return torch.poisson(Gamma(self.theta, self.theta / self.mu, validate_args=False).sample(sample_shape))

    @property
    def mean(self) -> Tensor:
        return self.mu.expand(self.batch_shape)

    @property
    def variance(self) -> Tensor:
        return self.mu + self.mu.square() / self.theta


class ZeroInflatedNegativeBinomial(Distribution):
    r"""With probability π a zero, else a negative binomial count: P(k) = π [k = 0] + (1 − π) NB(k; μ, θ).

    All in logarithms, log P(0) = logaddexp(log π, log(1 − π) + log NB(0)), so that neither π → 0 nor π → 1, nor counts
    that NB thinks impossible, give an infinity.

    Reference: Lopez et al. (2018), *Deep generative modeling for single-cell transcriptomics*, Methods.

    Arguments:
        mu: Mean μ > 0 of the negative binomial; the mean of the whole is (1 − π) μ.
        theta: Inverse dispersion θ > 0.
        logits: Log-odds of π.

    Example:
        >>> p = ZeroInflatedNegativeBinomial(torch.tensor(2.0), torch.tensor(1.0), torch.tensor(0.0))
        >>> p.log_prob(torch.arange(3.0)).exp()
        tensor([0.6667, 0.1111, 0.0741])
    """

    arg_constraints = {"mu": constraints.positive, "theta": constraints.positive, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, mu: Tensor, theta: Tensor, logits: Tensor) -> None:
        mu, theta, self.logits = torch.broadcast_tensors(mu, theta, logits)
        self.counts = NegativeBinomial(mu, theta)
        super().__init__(mu.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        counted = F.logsigmoid(-self.logits)
        zero = torch.logaddexp(F.logsigmoid(self.logits), counted + self.counts.log_zero())
        return torch.where(value == 0, zero, counted + self.counts.log_prob(value))

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        k = self.counts.sample(sample_shape)
        return torch.where(torch.rand_like(k) < torch.sigmoid(self.logits), 0.0, k)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(-self.logits) * self.counts.mean

    @property
    def variance(self) -> Tensor:
        zero = torch.sigmoid(self.logits)
        return (1 - zero) * (self.counts.variance + zero * self.counts.mean.square())
