"""What the posteriors on spheres share: the network's output as directions and concentrations."""

from __future__ import annotations

__all__ = ["Axial", "sizes"]

from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution
from torch.nn.functional import normalize, softplus
from zuko.lazy import LazyDistribution

from elbox.distributions import OnSpheres, PowerSpherical, VonMisesFisher
from elbox.errors import SettingError, ShapeError, check_number, check_whole


class Axial(LazyDistribution):
    """Base of posteriors with a mean direction and a concentration on each of m spheres in R^d, D = m·d."""

    family: type[VonMisesFisher | PowerSpherical]

    def __init__(self, net: nn.Module, latent: int, spheres: int = 1, least: float = 1.0) -> None:
        super().__init__()
        sizes(latent, spheres)
        check_number("least", least)
        self.net, self.latent, self.spheres, self.least = net, latent, spheres, least

    @staticmethod
    def output_shape(latent: int, spheres: int = 1) -> tuple[int, ...]:
        """The shape that the network's output must have: (m, d + 1)."""
        return (spheres, sizes(latent, spheres) + 1)

    def forward(self, c: Any = None) -> Distribution:
        h, name, shape = self.net(c), type(self).__name__, self.output_shape(self.latent, self.spheres)
        if h.shape[-2:] != shape:
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for {name}; expected its last dimensions to be "
                f"{shape}: make the network with {name}.output_shape({self.latent}, {self.spheres})"
            )
        direction = h[..., :-1] + torch.finfo(h.dtype).tiny  # not 0, which has none
        return OnSpheres(self.family(normalize(direction, dim=-1), softplus(h[..., -1]) + self.least))


def sizes(latent: int, spheres: int) -> int:
    """The numbers d ≥ 2 of a point on each sphere."""
    check_whole("latent", latent, 2)
    check_whole("spheres", spheres)
    if latent % spheres or latent // spheres < 2:
        raise SettingError(
            f"got latent={latent} with spheres={spheres}; expected as many numbers for each sphere, 2 or more: a point "
            "of S^k is a vector of k + 1 numbers"
        )
    return latent // spheres
