"""The circularly symmetric complex Gaussian likelihood, for complex numbers such as spectra."""

from __future__ import annotations

__all__ = ["ComplexGaussian"]

from typing import Any

from torch import nn
from torch.distributions import Distribution

from elbox.distributions import diagonal_normal, soft_clip
from elbox.likelihoods.base import Likelihood, Number, one_spread
from elbox.parts import part
from elbox.spec import DataSpec


@part
class ComplexGaussian(Likelihood):
    r"""p(x|z) = Π_d exp(−|x_d − μ_d(z)|²/σ_d²(z)) / πσ_d²(z) for complex x_d, with σ_d² = E|x_d − μ_d|².

    The noise x − μ has the same law after any turn of its phase: real and imaginary part are independent, each with
    variance σ²/2. Complex numbers are laid out as real ones along the first axis of the event, [2, *rest], real part
    first, and so is μ; the density is with respect to both parts.

    Reference: Goodman (1963), *Statistical analysis based on a certain multivariate complex Gaussian distribution*;
    Gallager (2008), *Circularly-symmetric Gaussian random vectors*. In VAEs: Bando et al. (2018), *Statistical speech
    enhancement based on probabilistic integration of variational autoencoder and non-negative matrix factorization*.

    Arguments:
        net: Network z → (3, *rest): standardised real and imaginary part of the mean, and s; μ = offset + scale · m,
            σ = √2 · scale · exp(soft_clip(s)).
        offset: Location of the 2 · D real numbers (`DataSpec.offset`).
        scale: Spread of real and imaginary parts, one number (`DataSpec.scale`).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event (2, *rest).

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> ComplexGaussian(MLP(4, [], (3, 5)))(torch.zeros(7, 4)).mean.shape
        torch.Size([7, 2, 5])
    """

    kinds = ("complex",)
    values = "finite complex numbers, as real and imaginary parts"
    density = True

    def __init__(self, net: nn.Module, offset: Number = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        self.net = net
        self.set_units(offset, scale)

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        return (3, *spec.event_shape[1:])

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> ComplexGaussian:
        cls.check(spec)
        return cls(net, spec.offset, one_spread(spec.scale))

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h)
        mean, log_sigma = h.split((2, 1), -dims)
        offset, scale = self.units(mean.shape[mean.dim() - dims :])
        of_a_part = scale * soft_clip(log_sigma).exp()  # σ/√2
        return diagonal_normal(offset + scale * mean, of_a_part.expand_as(mean), dims)
