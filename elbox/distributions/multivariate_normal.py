"""The normal distribution with a full covariance matrix, as torch's, whose draws come with their exact density."""

from __future__ import annotations

__all__ = ["MultivariateNormal"]

import math

from torch import Tensor, distributions
from torch.distributions.utils import _standard_normal
from torch.types import _size

from elbox.distributions.elliptical import Elliptical


class MultivariateNormal(Elliptical, distributions.MultivariateNormal):
    r"""torch's N(μ, LLᵀ), whose draws z = μ + L ε know log q(z) = log N(ε; 0, I) − Σ_d log L_dd from ε itself.

    Reference: Kingma & Welling (2019), *An introduction to variational autoencoders*, §2.5.1.

    Arguments: as `torch.distributions.MultivariateNormal`.

    Example:
        >>> import torch
        >>> q = MultivariateNormal(torch.zeros(2), scale_tril=torch.tensor([[1e-3, 0.0], [1e4, 1e-3]]))
        >>> z, log_qz = q.rsample_and_log_prob((100,))
        >>> bool(log_qz.max() < 12)  # the density at the mean is 11.98 nats
        True
    """

    def noise(self, sample_shape: _size) -> Tensor:
        return _standard_normal(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)

    def log_noise(self, y: Tensor) -> Tensor:
        return -0.5 * (y.square() + math.log(2 * math.pi)).sum(-1)

    def detached(self) -> MultivariateNormal:
        return MultivariateNormal(self.loc.detach(), scale_tril=self.scale_tril.detach(), validate_args=False)
