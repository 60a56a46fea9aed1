"""Elliptical distributions z = μ + L y, whose draws have the density of the noise that they were made of."""

from __future__ import annotations

__all__ = ["Elliptical"]

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size


class Elliptical(Distribution):
    r"""Base of the distributions of z = μ + L y with standardised noise y and a lower triangular L,

        log q(z) = log p(y) − Σ_d log L_dd.

    For a draw y is known. L⁻¹(z − μ) is not y once z is rounded: with a large L_dc and a small L_dd single precision is
    off by |L_dc| / L_dd · 10⁻⁷, squared, and a model learns to make "improbable" draws out of the error. So whoever
    draws takes the density from here; `log_prob` is for z from elsewhere.

    Reference: Kingma & Welling (2019), *An introduction to variational autoencoders*, §2.5.1.

    A subclass has `loc` [..., D] and `scale_tril` [..., D, D], and defines `noise`, `log_noise` and `detached`.
    """

    loc: Any
    scale_tril: Any

    @abstractmethod
    def noise(self, sample_shape: _size) -> Tensor:
        """Standardised noise y, [*sample_shape, ..., D]."""

    @abstractmethod
    def log_noise(self, y: Tensor) -> Tensor:
        """log p(y), [...]."""

    @abstractmethod
    def detached(self) -> Elliptical:
        """The same distribution with constant parameters."""

    def at(self, y: Tensor) -> Tensor:
        """z = μ + L y."""
        z: Tensor = self.loc + (self.scale_tril @ y[..., None]).squeeze(-1)
        return z

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.at(self.noise(sample_shape))

    def rsample_and_log_prob(self, sample_shape: _size = torch.Size()) -> tuple[Tensor, Tensor]:  # noqa: B008
        """z and log q(z), exact at any L: by name what zuko's flows have."""
        y = self.noise(sample_shape)
        return self.at(y), self.log_noise(y) - self.log_det()

    def log_prob_of(self, z: Tensor, y: Tensor) -> Tensor:
        r"""log q(z) of z = μ + L y, [K, ...]: the value from y, the derivatives to z, μ and L as those of `log_prob`.

        To first order L⁻¹(z − μ) is y₀ + L₀⁻¹(z − μ − L y₀), where ₀ marks constants; the bracket is 0.

        Arguments:
            z: The draw, [K, ..., D].
            y: Its noise, the same shape.
        """
        y = y.detach()
        off = z - self.at(y)
        off = (off - off.detach()).movedim(0, -1)  # 0 also where a compiler rounds the two otherwise
        step = torch.linalg.solve_triangular(self.scale_tril.detach(), off, upper=False).movedim(-1, 0)
        return self.log_noise(y + step) - self.log_det()

    def log_det(self) -> Tensor:
        """log det L = Σ_d log L_dd, [...]."""
        value: Tensor = self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return value
