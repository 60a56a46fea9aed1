r"""Gaussian likelihoods, for real-valued data: with a fixed, one learned, or a predicted variance.

The network works in standardised units: mean = offset + scale · net(z), and σ is a multiple of `scale`, so that the
density is that of the data in their own units whatever those are.
"""

from __future__ import annotations

__all__ = ["FixedGaussian", "Gaussian", "PredictedGaussian"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution

from elbox.distributions import diagonal_normal, soft_clip
from elbox.errors import SettingError
from elbox.likelihoods.base import REAL_LINE, Likelihood, Number, one_spread
from elbox.parts import part
from elbox.spec import DataSpec


@part
class FixedGaussian(Likelihood):
    r"""p(x|z) = N(x; μ(z), σ² I) with a given σ: the distortion is ‖x − μ‖²/2σ² + D log σ√(2π).

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, appendix C.2.

    Arguments:
        net: Network z → standardised mean, of the event's shape; μ = offset + scale · net(z).
        sigma: Standard deviation in units of the data, > 0.
        offset: Location of the data (`DataSpec.offset`).
        scale: Spread of the data (`DataSpec.scale`).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Raises:
        SettingError: if `sigma` is not positive.

    Example:
        >>> from elbox.nn import MLP
        >>> FixedGaussian(MLP(2, [], 3), sigma=0.1)(torch.zeros(4, 2)).mean.shape
        torch.Size([4, 3])
    """

    kinds = REAL_LINE
    values = "finite real numbers"
    density = True

    def __init__(self, net: nn.Module, sigma: float = 1.0, offset: Number = 0.0, scale: Number = 1.0) -> None:
        super().__init__()
        if not sigma > 0:
            raise SettingError(f"got sigma={sigma}; expected a positive number")
        self.net, self.sigma = net, sigma
        self.set_units(offset, scale)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> FixedGaussian:
        cls.check(spec)
        return cls(net, one_spread(spec.scale), spec.offset, spec.scale)

    def forward(self, c: Any = None) -> Distribution:
        mean, _, dims = self.located(c)
        return diagonal_normal(mean, torch.full_like(mean, self.sigma), dims)


@part
class Gaussian(Likelihood):
    r"""p(x|z) = N(x; μ(z), σ² diag(scale²)) with one learned σ for all dimensions, in units of `scale`.

    The default for real-valued data: at the optimum σ² is the mean squared error, so no weight between reconstruction
    and rate has to be chosen. With an affine network, one `scale` and a normal posterior it is probabilistic PCA.

    Reference: Rybkin et al. (2021), *Simple and effective VAE training with calibrated decoders*, §3.1; Tipping &
    Bishop (1999), *Probabilistic principal component analysis*, eq. 2.

    Arguments:
        net: Network z → standardised mean, of the event's shape; μ = offset + scale · net(z).
        offset: Location of the data (`DataSpec.offset`).
        scale: Spread of the data (`DataSpec.scale`).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> Gaussian(MLP(2, [], 3))(torch.zeros(4, 2)).log_prob(torch.zeros(4, 3)).shape
        torch.Size([4])
    """

    kinds = REAL_LINE
    values = "finite real numbers"
    density = True

    def __init__(self, net: nn.Module, offset: Number = 0.0, scale: Number = 1.0) -> None:
        super().__init__()
        self.net = net
        self.log_sigma = nn.Parameter(torch.zeros(()))
        self.set_units(offset, scale)

    def forward(self, c: Any = None) -> Distribution:
        mean, scale, dims = self.located(c)
        sigma = scale * soft_clip(self.log_sigma).exp()
        return diagonal_normal(mean, sigma.expand_as(mean), dims)


@part
class PredictedGaussian(Likelihood):
    r"""p(x|z) = N(x; μ(z), diag σ²(z)): the network puts out the mean and log σ of every dimension.

    A density is unbounded where a dimension can be predicted exactly (constant pixels): there σ runs to its floor
    e^{−10} · scale and the bound with it. Prefer `Gaussian`, or `DiscretizedLogistic` for levels, unless the noise
    really varies.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, eq. 12.

    Arguments:
        net: Network z → (2, *event): standardised mean m and s; μ = offset + scale · m, σ = scale · exp(soft_clip(s)).
        offset: Location of the data (`DataSpec.offset`).
        scale: Spread of the data (`DataSpec.scale`).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> PredictedGaussian(MLP(2, [], (2, 3)))(torch.zeros(4, 2)).stddev.shape
        torch.Size([4, 3])
    """

    kinds = REAL_LINE
    values = "finite real numbers"
    density = True

    def __init__(self, net: nn.Module, offset: Number = 0.0, scale: Number = 1.0) -> None:
        super().__init__()
        self.net = net
        self.set_units(offset, scale)

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        return (2, *spec.event_shape)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h) - 1
        mean, log_sigma = h.unbind(-dims - 1)
        offset, scale = self.units(mean.shape[mean.dim() - dims :])
        return diagonal_normal(offset + scale * mean, scale * soft_clip(log_sigma).exp(), dims)
