"""The uniform prior on spheres."""

from __future__ import annotations

__all__ = ["SphericalUniform"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import HypersphericalUniform, OnSpheres
from elbox.errors import SettingError, check_whole
from elbox.parts import part


@part
class SphericalUniform(LazyDistribution):
    r"""p(z) = Π_i 1/S_d for unit vectors z = (z_1, …, z_m) in R^d, with respect to the area S_d of the sphere.

    The prior of the posteriors `VonMisesFisher` and `PowerSpherical`, over as many spheres.

    Reference: Davidson et al. (2018), *Hyperspherical variational auto-encoders*, §3.2.

    Arguments:
        latent: Numbers D = m·d of z: a sphere S^k takes d = k + 1 of them.
        spheres: Number m of spheres.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Raises:
        SettingError: if D is not m times 2 or more.

    Example:
        >>> p = SphericalUniform(6, spheres=2)()
        >>> p.log_prob(p.sample())  # −2 log 4π
        tensor(-5.0620)
    """

    zeros: Tensor

    def __init__(self, latent: int, spheres: int = 1) -> None:
        super().__init__()
        check_whole("latent", latent, 2)
        check_whole("spheres", spheres)
        if latent % spheres or latent // spheres < 2:
            raise SettingError(
                f"got latent={latent} with spheres={spheres}; expected as many numbers for each sphere, 2 or more: a "
                "point of S^k is a vector of k + 1 numbers"
            )
        self.size = latent // spheres
        self.register_buffer("zeros", torch.zeros(spheres), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        return OnSpheres(HypersphericalUniform(self.size, self.zeros))
