r"""The spike and the slab: a number that is either about 0 or anything."""

from __future__ import annotations

__all__ = ["SpikeSlab"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

LOG_2PI = math.log(2 * math.pi)


class SpikeSlab(Distribution):
    r"""p(z) = γ N(z; μ, σ²) + (1 − γ) N(z; 0, τ²), with γ = sigmoid(l) and a spike that is narrow, not a point.

    With a point mass, densities of posterior and prior would be of another measure than those of all other real
    distributions, and γ could not be reparameterised; so every real posterior has a finite rate under this prior, and
    bounds hold. Draws are reparameterised implicitly: ∂z/∂φ = −(∂F/∂φ) / p(z) with the distribution function F.

    Reference: George & McCulloch (1993), *Variable selection via Gibbs sampling* (a spike of small variance);
    Tonolini, Jensen & Murray-Smith (2019), *Variational sparse coding* (with a point mass, whose samples are relaxed).

    Arguments:
        logits: l, [...].
        loc: μ, the same shape.
        scale: σ > 0.
        spike: τ > 0.

    Shapes:
        batch shape [...] over numbers.

    Example:
        >>> d = SpikeSlab(torch.zeros(2), torch.tensor([0.0, 3.0]), torch.ones(2), torch.tensor(0.1))
        >>> d.mean, d.rsample((4,)).shape
        (tensor([0.0000, 1.5000]), torch.Size([4, 2]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real
    has_rsample = True

    def __init__(self, logits: Tensor, loc: Tensor, scale: Tensor, spike: Tensor) -> None:
        self.logits, self.loc, self.scale, self.spike = torch.broadcast_tensors(logits, loc, scale, spike)
        super().__init__(self.logits.shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: object = None) -> SpikeSlab:
        return SpikeSlab(*(t.expand(batch_shape) for t in (self.logits, self.loc, self.scale, self.spike)))

    @property
    def probs(self) -> Tensor:
        """γ, the share of the slab."""
        return torch.sigmoid(self.logits)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.loc

    @property
    def variance(self) -> Tensor:
        of_slab = self.probs * (self.scale.square() + self.loc.square())
        return of_slab + (1 - self.probs) * self.spike.square() - self.mean.square()

    def log_prob(self, value: Tensor) -> Tensor:
        slab = F.logsigmoid(self.logits) - 0.5 * ((value - self.loc) / self.scale).square() - torch.log(self.scale)
        spike = F.logsigmoid(-self.logits) - 0.5 * (value / self.spike).square() - torch.log(self.spike)
        return torch.logaddexp(slab, spike) - 0.5 * LOG_2PI

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        shape = torch.Size(sample_shape) + self.batch_shape
        slab = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device) < self.probs
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return torch.where(slab, self.loc + self.scale * noise, self.spike * noise)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008
        z = self.sample(sample_shape)
        trained = any(t.requires_grad for t in (self.logits, self.loc, self.scale, self.spike))
        if not (trained and torch.is_grad_enabled()):
            return z
        value = self._cdf(z)
        return z - (value - value.detach()) / self.log_prob(z).detach().exp()

    def _cdf(self, z: Tensor) -> Tensor:
        """F(z), or F(z) − 1 where that is smaller in size: the derivatives are the same, and so not rounded."""
        slab, spike = (z - self.loc) / self.scale, z / self.spike
        with torch.no_grad():
            above = self.probs * torch.special.ndtr(slab) + (1 - self.probs) * torch.special.ndtr(spike) > 0.5
            side = torch.where(above, -1.0, 1.0).to(z.dtype)
        return side * (
            self.probs * torch.special.ndtr(side * slab) + (1 - self.probs) * torch.special.ndtr(side * spike)
        )
