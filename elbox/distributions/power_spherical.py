r"""The power spherical distribution."""

from __future__ import annotations

__all__ = ["PowerSpherical"]

import math

import torch
from torch import Tensor

from elbox.distributions.axial import Axial


class PowerSpherical(Axial):
    r"""The power spherical distribution on the unit sphere of R^d, with respect to its area.

        log q(z) = κ log (1 + μᵀz) + log N_d(κ),    N_d(κ)⁻¹ = 2^{α+β} π^β Γ(α)/Γ(α + β),  β = (d − 1)/2, α = β + κ.

    (1 + μᵀz)/2 has a Beta(α, β) distribution: samples are a ratio of two gamma variables, without rejection, and are
    reparameterised implicitly. Like a von Mises–Fisher distribution, with heavier shoulders and no mass at −μ.

    Reference: De Cao & Aziz (2020), *The power spherical distribution*, §2 (density, sampler, entropy, KL to the
    uniform distribution).

    Arguments:
        loc: Mean direction μ [..., d], unit vectors, d ≥ 2.
        concentration: κ ≥ 0 [...]; 0 is the uniform distribution, 2/κ about the variance along each tangent if large.

    Example:
        >>> q = PowerSpherical(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(1.0))
        >>> q.log_prob(torch.tensor([0.0, 0.0, 1.0])).exp()  # 2/4π
        tensor(0.1592)
        >>> q.rsample((5,)).shape
        torch.Size([5, 3])
    """

    def statistic(self, u: Tensor) -> Tensor:
        """η = log (1 + t)/2."""
        return -torch.logaddexp(2 * u, torch.zeros_like(u))

    def statistic_at(self, gap: Tensor) -> Tensor:
        """η = log (1 + t)/2, which ends at −18 near −μ, so that densities of what lies there are finite."""
        return torch.log1p(-gap.clamp(max=2 - 2e-8) / 2)

    def middle(self, kappa: Tensor) -> Tensor:
        """e^{2u*} = β/α."""
        return -0.5 * torch.log1p(2 * kappa / self.n)

    def draw(self, kappa: Tensor) -> Tensor:
        """e^{2u} = (1 − b)/b with b ~ Beta(α, β)."""
        beta = torch.full_like(kappa, self.n / 2)
        near, far = torch._standard_gamma(beta), torch._standard_gamma(beta + kappa)
        return 0.5 * (near.clamp(min=math.ulp(0.0)).log() - far.log())
