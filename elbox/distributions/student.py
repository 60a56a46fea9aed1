"""Student's t distribution in several dimensions, an elliptical family."""

from __future__ import annotations

__all__ = ["MultivariateStudentT"]

import math

import torch
from torch import Tensor
from torch.distributions import Chi2, Distribution, constraints
from torch.distributions.utils import _standard_normal
from torch.types import _size

from elbox.distributions.elliptical import Elliptical


class MultivariateStudentT(Elliptical):
    r"""The elliptical distribution z = μ + √(ν/w) L ε with ε ~ N(0, I) and w ~ χ²(ν), whose tails are power laws.

        log p(z) = log Γ((ν + D)/2) − log Γ(ν/2) − (D/2) log πν − log det L − ((ν + D)/2) log(1 + |L⁻¹(z − μ)|²/ν).

    The gradient to ν goes through torch's implicit reparameterisation of the gamma distribution.

    Reference: Kotz & Nadarajah (2004), *Multivariate t distributions and their applications*, §1.1; Kingma & Welling
    (2014), *Auto-encoding variational Bayes*, §2.4, approach 2 (elliptical families).

    Arguments:
        df: Degrees of freedom ν > 0, [...]; the variance is finite for ν > 2.
        loc: Location μ, [..., D].
        scale_tril: Lower triangular L with a positive diagonal, [..., D, D]; the covariance is LLᵀ ν/(ν − 2).

    Example:
        >>> t = MultivariateStudentT(torch.tensor(5.0), torch.zeros(2), torch.eye(2))
        >>> t.log_prob(torch.zeros(2)).exp()  # 1/(2π), for every ν in two dimensions
        tensor(0.1592)
    """

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real_vector,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, df: Tensor, loc: Tensor, scale_tril: Tensor) -> None:
        batch = torch.broadcast_shapes(df.shape, loc.shape[:-1], scale_tril.shape[:-2])
        self.df = df.expand(batch)
        self.loc = loc.expand(*batch, -1)
        self.scale_tril = scale_tril.expand(*batch, -1, -1)
        super().__init__(batch, self.loc.shape[-1:], validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> MultivariateStudentT:
        shape = torch.Size(batch_shape)
        size = self.event_shape
        return MultivariateStudentT(
            self.df.expand(shape), self.loc.expand(shape + size), self.scale_tril.expand(shape + size + size)
        )

    @property
    def mean(self) -> Tensor:
        """μ, for ν > 1."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of the covariance, for ν > 2."""
        return self.scale_tril.square().sum(-1) * (self.df / (self.df - 2))[..., None]

    def noise(self, sample_shape: _size) -> Tensor:
        """y = √(ν/w) ε."""
        shape = self._extended_shape(sample_shape)
        epsilon = _standard_normal(shape, dtype=self.loc.dtype, device=self.loc.device)
        return (self.df / Chi2(self.df).rsample(torch.Size(sample_shape))).sqrt()[..., None] * epsilon

    def log_noise(self, y: Tensor) -> Tensor:
        dims = self.event_shape[0]
        power = (self.df + dims) / 2
        return (
            torch.lgamma(power)
            - torch.lgamma(self.df / 2)
            - dims / 2 * (math.log(math.pi) + self.df.log())
            - power * torch.log1p(y.square().sum(-1) / self.df)
        )

    def log_prob(self, value: Tensor) -> Tensor:
        y = torch.linalg.solve_triangular(self.scale_tril, (value - self.loc)[..., None], upper=False).squeeze(-1)
        return self.log_noise(y) - self.log_det()

    def detached(self) -> MultivariateStudentT:
        return MultivariateStudentT(self.df.detach(), self.loc.detach(), self.scale_tril.detach())

    def entropy(self) -> Tensor:
        dims = self.event_shape[0]
        power, half = (self.df + dims) / 2, self.df / 2
        return (
            self.log_det()
            + dims / 2 * (math.log(math.pi) + self.df.log())
            + torch.lgamma(half)
            - torch.lgamma(power)
            + power * (torch.digamma(power) - torch.digamma(half))
        )
