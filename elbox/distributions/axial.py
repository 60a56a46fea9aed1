r"""Distributions on the sphere S^{d−1} that are symmetric about an axis μ: von Mises–Fisher and power spherical.

Both are exponential families with one statistic, q(z) ∝ e^{κ η(t)}, of the cosine t = μᵀz to the axis. In

    u = log tan(θ/2),    t = cos θ = −tanh u,    √(1 − t²) = sech u

(Mercator's coordinate of the angle θ to the axis) the uniform distribution has the density ∝ sech^n u, n = d − 1, and q
has ∝ sech^n(u) e^{κη(u)}: log-concave, with a mode u*(κ) in closed form and a curvature there within [n, 2n], whatever
κ. So one rule with nodes about u*, in units of 1/√n, gives

    L(κ) = −log E_uniform[e^{κη}]   and   E_q[η] = −L'(κ)

to nine digits from κ = 0 to where double precision ends: all that is summed is positive, nothing of the size of κ is
left to cancel, and no Bessel or gamma function is needed. With S_d the area of the sphere,

    log q(z) = κη + L(κ) − log S_d,      KL(q ‖ uniform) = κ E_q[η] + L(κ).

Samples are reparameterised implicitly. When κ changes, u moves by du/dκ = −(∂F/∂κ)/f with F and f its CDF and density;
when μ turns, z turns with it: the infinitesimal rotation δμ μᵀ − μ δμᵀ applied to z. Both fields are smooth on all of
the sphere, which no frame of tangent vectors along which one could draw is.

Reference: Figurnov, Mohamed & Mnih (2018), *Implicit reparameterization gradients*, §3; Jankowiak & Obermeyer (2018),
*Pathwise derivatives beyond the reparameterization trick*, §3 (the transport equation, which both fields solve);
Takahasi & Mori (1974), *Double exponential formulas for numerical integration*.
"""

from __future__ import annotations

__all__ = ["Axial", "log_area", "log_cosh"]

import math
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributions import Distribution, constraints
from torch.types import _size

from elbox.distributions.manifolds import Spheres

FAR = 45.0  # in units of 1/√n: e^{−45} is nothing
_S = np.linspace(-math.asinh(FAR), math.asinh(FAR), 91)
ABOUT = np.sinh(_S).tolist(), np.log(np.cosh(_S) * (_S[1] - _S[0])).tolist()  # nodes, logarithms of weights
_R = np.arange(-3.5, math.log(FAR), 0.15)
_X = np.exp(_R - np.exp(-_R))
BEYOND = _X.tolist(), (_X * (1 + np.exp(-_R)) * 0.15).tolist()  # for integrals from 0 on: nodes, weights


class Axial(Distribution):
    r"""q(z) ∝ e^{κ η(μᵀz)} on the unit sphere of R^d, with respect to its area. A subclass says η, its mode and draws.

    Arguments:
        loc: Mean direction μ [..., d], unit vectors, d ≥ 2.
        concentration: κ ≥ 0 [...]; 0 is the uniform distribution.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = True

    def __init__(self, loc: Tensor, concentration: Tensor) -> None:
        shape = torch.broadcast_shapes(loc.shape[:-1], concentration.shape)
        self.loc, self.concentration = loc.expand(*shape, loc.shape[-1]), concentration.expand(shape)
        super().__init__(shape, loc.shape[-1:], validate_args=False)

    @property
    def n(self) -> int:
        """Dimension d − 1 of the sphere."""
        return self.loc.shape[-1] - 1

    @abstractmethod
    def statistic(self, u: Tensor) -> Tensor:
        """η at the coordinate u, at most 0, and 0 on the axis."""

    @abstractmethod
    def statistic_at(self, gap: Tensor) -> Tensor:
        """η where 1 − t = `gap`."""

    @abstractmethod
    def middle(self, kappa: Tensor) -> Tensor:
        """The mode u* of sech^n(u) e^{κη(u)}."""

    @abstractmethod
    def draw(self, kappa: Tensor) -> Tensor:
        """A sample of u for each κ."""

    @property
    def support(self) -> constraints.Constraint:
        return Spheres(1, self.n + 1)

    @property
    def mean(self) -> Tensor:
        """The mean direction, a point of the sphere: its Fréchet mean, and the direction of E[z]."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> Axial:
        shape = torch.Size(batch_shape)
        return type(self)(self.loc.expand(shape + self.event_shape), self.concentration.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        gap = (value - self.loc).double().square().sum(-1) / 2  # 1 − t, without its cancellation
        deficit, _ = self.partition()
        found = self.concentration.double() * self.statistic_at(gap) + deficit - log_area(self.n + 1)
        return found.to(value.dtype)

    def entropy(self) -> Tensor:
        return log_area(self.n + 1) - self.rate()

    def rate(self) -> Tensor:
        """KL(q ‖ uniform), nats."""
        deficit, mean = self.partition()
        return (self.concentration.double() * mean + deficit).to(self.loc.dtype)

    def partition(self) -> tuple[Tensor, Tensor]:
        """L(κ) and E[η], in double precision."""
        kappa = self.concentration.double().unsqueeze(-1)
        nodes, log_weights = (torch.tensor(x, dtype=kappa.dtype, device=kappa.device) for x in ABOUT)
        u = self.middle(kappa.detach()) + nodes / math.sqrt(self.n)
        eta = self.statistic(u)
        terms = log_weights - math.log(self.n) / 2 - self.n * log_cosh(u) + kappa * eta
        log_uniform = math.lgamma(self.n / 2) + math.lgamma(0.5) - math.lgamma((self.n + 1) / 2)  # log ∫ sech^n
        return log_uniform - torch.logsumexp(terms, -1), (torch.softmax(terms, -1) * eta).sum(-1)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        shape = self._extended_shape(sample_shape)
        with torch.no_grad():
            mean = self.partition()[1]
        z: Tensor = _Point.apply(
            self.loc.expand(shape), self.concentration.expand(shape[:-1]), mean.expand(shape[:-1]), self
        )
        return z

    def velocity(self, u: Tensor, kappa: Tensor, mean: Tensor) -> Tensor:
        r"""du/dκ = −∫_{−∞}^u (η(v) − E[η]) f(v)/f(u) dv = ∫_u^∞ …, on the side where the integrand has one sign."""
        x, weights = (torch.tensor(a, dtype=u.dtype, device=u.device) / math.sqrt(self.n) for a in BEYOND)
        u, kappa, mean = u.unsqueeze(-1), kappa.unsqueeze(-1), mean.unsqueeze(-1)
        eta = self.statistic(u)
        side = torch.where(eta > mean, -1.0, 1.0)
        v = u + side * x
        gain = self.statistic(v) - eta
        ratio = torch.exp(kappa * gain - self.n * (log_cosh(v) - log_cosh(u)))
        return side.squeeze(-1) * (weights * (eta - mean + gain) * ratio).sum(-1)


class _Point(torch.autograd.Function):
    """μ, κ ↦ a sample z, with its implicit derivatives."""

    @staticmethod
    def forward(ctx: Any, loc: Tensor, kappa: Tensor, mean: Tensor, q: Axial) -> Tensor:
        u = q.draw(kappa.double())
        cosine, sine = (-torch.tanh(u)).to(loc.dtype).unsqueeze(-1), (1 / torch.cosh(u)).to(loc.dtype).unsqueeze(-1)
        side = _orthogonal(_orthogonal(torch.randn_like(loc), loc), loc)  # twice, for one that is nearly parallel
        z = torch.nn.functional.normalize(cosine * loc + sine * side, dim=-1)
        ctx.save_for_backward(loc, kappa, mean, u, z, cosine, sine, side)
        ctx.q = q
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        loc, kappa, mean, u, z, cosine, sine, side = ctx.saved_tensors
        of_loc = cosine * gradient - z * (loc * gradient).sum(-1, keepdim=True)  # of δμ ↦ δμ (μᵀz) − μ (zᵀδμ)
        of_angle = (gradient * (cosine * side - sine * loc)).sum(-1)
        velocity = ctx.q.velocity(u, kappa.double(), mean).to(kappa.dtype)  # of u; dθ = sin θ du
        return of_loc, of_angle * sine.squeeze(-1) * velocity, None, None


def _orthogonal(v: Tensor, loc: Tensor) -> Tensor:
    """The direction of v in the tangent space at `loc`."""
    return torch.nn.functional.normalize(v - (v * loc).sum(-1, keepdim=True) * loc, dim=-1)


def log_area(d: int) -> float:
    """log S_d, S_d = 2 π^{d/2} / Γ(d/2): the area of the unit sphere of R^d."""
    return math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)


def log_cosh(u: Tensor) -> Tensor:
    """log cosh u."""
    return torch.logaddexp(u, -u) - math.log(2)
