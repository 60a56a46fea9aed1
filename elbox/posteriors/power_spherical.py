"""The power spherical posterior."""

from __future__ import annotations

__all__ = ["PowerSpherical"]

from elbox.distributions import PowerSpherical as _PowerSpherical
from elbox.parts import part
from elbox.posteriors.axial import Axial


@part
class PowerSpherical(Axial):
    r"""q(z|x) = Π_i PowerSpherical(z_i; μ_i(x), κ_i(x)) for unit vectors z_1, …, z_m side by side.

    Cheaper to draw than `VonMisesFisher`, and much like it; KL to the uniform prior (`priors.SphericalUniform`) in
    closed form.

    Reference: De Cao & Aziz (2020), *The power spherical distribution*, §2.

    Arguments:
        net: Network with output shape `PowerSpherical.output_shape(latent, spheres)`: for each sphere d
            numbers for μ, which are normalised, and one for the concentration, κ = softplus(h) + least.
        latent: Numbers D = m·d of z: a sphere S^k takes d = k + 1 of them.
        spheres: Number m of spheres.
        least: Smallest concentration ≥ 0; 1 as for `VonMisesFisher`, against collapse; with 0 the rate may
            vanish.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if D is not m times 2 or more.
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> q = PowerSpherical(MLP(5, [8], PowerSpherical.output_shape(6, 2)), 6, spheres=2)
        >>> q(torch.zeros(4, 5)).rsample().unflatten(-1, (2, 3)).norm(dim=-1).shape
        torch.Size([4, 2])
    """

    family = _PowerSpherical
