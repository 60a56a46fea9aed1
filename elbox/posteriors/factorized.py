"""A posterior of any reparameterisable family, independent over latent dimensions."""

from __future__ import annotations

__all__ = ["Factorized"]

from typing import Any

from torch import nn
from torch.distributions import Distribution, Laplace
from zuko.lazy import LazyDistribution

from elbox.distributions.families import parameters, product
from elbox.errors import ShapeError
from elbox.parts import part


@part
class Factorized(LazyDistribution):
    r"""q(z|x) = Π_d q(z_d; θ_d(x)) of any family in `elbox.distributions.families`, such as Laplace, Gamma or VonMises.

    A network's output h becomes the family's parameters by θ = T(clip(h)), where T maps the real line to where a
    parameter may lie (`torch.distributions.biject_to`), and the clip keeps samples and densities finite in single
    precision; h = 0 gives location 0 and scale 1. A Dirichlet is one joint distribution over the D dimensions.

    The prior must have the same support: see the table of families in the documentation. Angles (VonMises) need a
    likelihood that reads them through `elbox.nn.Angles`.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2.4 (families by inverse CDF, location–scale
    and composition); Figurnov, Mohamed & Mnih (2018), *Implicit reparameterization gradients*, §3 (gamma, beta,
    Dirichlet, von Mises, Student-t).

    Arguments:
        net: Network with output shape `Factorized.output_shape(latent, family)`, one row for each parameter.
        latent: Dimension D of z.
        family: Class of a distribution over numbers, or Dirichlet.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.
        SettingError: if the family is unknown.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> from torch.distributions import Gamma
        >>> q = Factorized(MLP(5, [8], Factorized.output_shape(2, Gamma)), 2, Gamma)
        >>> q(torch.zeros(3, 5)).rsample().shape
        torch.Size([3, 2])
    """

    def __init__(self, net: nn.Module, latent: int, family: type[Distribution] = Laplace) -> None:
        super().__init__()
        self.net, self.latent, self.family = net, latent, family
        parameters(family)  # or an error

    @staticmethod
    def output_shape(latent: int, family: type[Distribution] = Laplace) -> tuple[int, ...]:
        """The shape that the network's output must have: (number of the family's parameters, D)."""
        return (len(parameters(family)), latent)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        shape = self.output_shape(self.latent, self.family)
        if h.shape[-2:] != shape:
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for Factorized; expected its last dimensions to be "
                f"{shape}: make the network with Factorized.output_shape({self.latent}, {self.family.__name__})"
            )
        of = parameters(self.family)
        return product(self.family, {n: to(row) for (n, to), row in zip(of.items(), h.unbind(-2), strict=True)})
