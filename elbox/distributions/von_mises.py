r"""The von Mises distribution of an angle, with samples that are reparameterised implicitly."""

from __future__ import annotations

__all__ = ["VonMises", "circular_variance", "log_i0e"]

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import Distribution, constraints
from torch.distributions.utils import broadcast_all
from torch.types import _size

ROUNDS = 20  # of rejection, each passed by more than 0.65 of the draws: 5e-10 of them pass none, and keep the last
POINTS, WEIGHTS = ((a / 2).tolist() for a in np.polynomial.legendre.leggauss(32))  # exact to 1e-12 for a fall by DROP
DROP = 40.0  # e^{−40} is nothing in double precision


class VonMises(Distribution):
    r"""The von Mises distribution on the circle, angles in [−π, π).

        log p(z) = κ cos(z − μ) − log 2π I₀(κ).

    Samples are drawn by rejection and reparameterised implicitly: z − μ has the derivative −(∂F/∂κ)/p to κ, where F is
    its CDF on [−π, π], and the rotation by μ has the derivative 1. That is unbiased for functions that are continuous
    on the circle. A function of the angle as a number jumps where π meets −π, and its gradient would be biased: let
    networks read cos z and sin z (`elbox.nn.Angles`).

    That of `torch.distributions` has no reparameterised samples, and the whole line as its support.

    Reference: Figurnov, Mohamed & Mnih (2018), *Implicit reparameterization gradients*, §3; Best & Fisher (1979),
    *Efficient simulation of the von Mises distribution* (the rejection sampler).

    Arguments:
        loc: Mean direction μ, radians, any real number, any shape.
        concentration: κ ≥ 0, broadcastable with `loc`; 0 is the uniform distribution, 1/κ about the variance if large.

    Example:
        >>> VonMises(torch.tensor(0.0), torch.tensor(0.0)).log_prob(torch.tensor(3.0)).exp()  # 1/(2π)
        tensor(0.1592)
        >>> VonMises(torch.tensor(3.0), torch.tensor(1e5)).rsample()
        tensor(3.0...)
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.nonnegative}
    support = constraints.interval(-math.pi, math.pi)
    has_rsample = True

    def __init__(self, loc: Tensor, concentration: Tensor) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> VonMises:
        return VonMises(self.loc.expand(batch_shape), self.concentration.expand(batch_shape))

    @property
    def mean(self) -> Tensor:
        """The mean direction, in [−π, π)."""
        return _wrapped(self.loc)

    @property
    def mode(self) -> Tensor:
        return _wrapped(self.loc)

    @property
    def variance(self) -> Tensor:
        """The circular variance 1 − I₁(κ)/I₀(κ), in [0, 1]."""
        return circular_variance(self.concentration)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        angle: Tensor = _Centred.apply(self.concentration.expand(self._extended_shape(sample_shape)))
        return _wrapped(angle + self.loc)

    def log_prob(self, value: Tensor) -> Tensor:
        # with cos x = 1 − 2 sin²(x/2) and I₀(κ) = e^κ i0e(κ) nothing of the size of κ is left to cancel
        sine = torch.sin((value - self.loc) / 2)
        return -2 * self.concentration * sine.square() - math.log(2 * math.pi) - log_i0e(self.concentration)

    def entropy(self) -> Tensor:
        spread = self.concentration * circular_variance(self.concentration)
        return math.log(2 * math.pi) + log_i0e(self.concentration) + spread


def log_i0e(kappa: Tensor) -> Tensor:
    """log I₀(κ) − κ, computed in double precision, so that the derivative −1/2κ is right for large κ too."""
    k = kappa.double() + 1e-300  # at 0 itself torch's derivative is 0, not −1
    return torch.special.i0e(k).log().to(kappa.dtype)


def circular_variance(kappa: Tensor) -> Tensor:
    r"""1 − A(κ) = 1 − I₁(κ)/I₀(κ), computed in double precision: for large κ it is 1/2κ.

    Arguments:
        kappa: Concentration κ ≥ 0, any shape.

    Example:
        >>> circular_variance(torch.tensor([0.0, 1.0, 1e5]))
        tensor([1.0000e+00, 5.5361e-01, 5.0000e-06])
    """
    k = kappa.double()
    return (1 - torch.special.i1e(k) / torch.special.i0e(k)).to(kappa.dtype)


def _wrapped(angle: Tensor) -> Tensor:
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi


class _Centred(torch.autograd.Function):
    """κ ↦ a sample about 0, with its implicit derivative."""

    @staticmethod
    def forward(ctx: Any, kappa: Tensor) -> Tensor:
        angle = _draw(kappa.double()).to(kappa.dtype)
        ctx.save_for_backward(angle, kappa)
        return angle

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        angle, kappa = ctx.saved_tensors
        return gradient * _velocity(angle.double(), kappa.double()).to(kappa.dtype)


def _draw(kappa: Tensor) -> Tensor:
    """Best & Fisher's rejection from a wrapped Cauchy distribution: all rounds at once, so that no loop waits for data.

    Written so that κ = 0 needs no exception and large κ loses no digits: ρ is their (τ − √2τ)/2κ.
    """
    root = (1 + 4 * kappa.square()).sqrt()
    tau = (1 + root).sqrt()
    rho = 2 * kappa * tau / ((tau + math.sqrt(2)) * (root + 1))
    ratio = (tau + math.sqrt(2)) * (root + 1) / (2 * tau)  # κ/ρ
    u = torch.rand((3, ROUNDS, *kappa.shape), dtype=kappa.dtype, device=kappa.device)
    cosine = torch.cos(math.pi * u[0])
    f = (2 * rho + (1 + rho.square()) * cosine) / (1 + rho.square() + 2 * rho * cosine)
    c = ratio * (1 + rho.square()) / 2 - kappa * f
    accepted = c.log() - u[1].log() + 1 - c >= 0
    first = torch.cat([accepted[:-1], torch.ones_like(accepted[:1])]).int().argmax(0, keepdim=True)
    angle = torch.where(u[2] < 0.5, -1.0, 1.0) * f.clamp(-1, 1).acos()
    return angle.gather(0, first).squeeze(0)


def _velocity(angle: Tensor, kappa: Tensor) -> Tensor:
    r"""dz/dκ = −(∂F/∂κ)/p at fixed F(z), for z about 0: odd in z, and for a = |z|

        ∫_a^π (cos t − A(κ)) e^{κ (cos t − cos a)} dt,

    by Gauss–Legendre quadrature up to where the exponential is nothing. It is below 1 everywhere.
    """
    x, weight = (torch.tensor(n, dtype=angle.dtype, device=angle.device) for n in (POINTS, WEIGHTS))
    a = angle.abs().unsqueeze(-1)
    k = kappa.unsqueeze(-1)
    last = 2 * ((a / 2).sin().square() + DROP / (2 * k)).sqrt().clamp(max=1).asin()
    t = a + (last - a) * (0.5 + x)
    falling = torch.exp(-2 * k * torch.sin((t - a) / 2) * torch.sin((t + a) / 2))
    spread = circular_variance(kappa).unsqueeze(-1) - 2 * (t / 2).sin().square()  # cos t − A(κ)
    return angle.sign() * ((last - a) * weight * spread * falling).sum(-1)
