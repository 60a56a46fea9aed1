"""The von Mises–Fisher posterior."""

from __future__ import annotations

__all__ = ["VonMisesFisher"]

from elbox.distributions import VonMisesFisher as _VonMisesFisher
from elbox.parts import part
from elbox.posteriors.axial import Axial


@part
class VonMisesFisher(Axial):
    r"""q(z|x) = Π_i vMF(z_i; μ_i(x), κ_i(x)) for unit vectors z = (z_1, …, z_m): a point on each of m spheres.

    On a sphere the uniform prior (`priors.SphericalUniform`) has no centre to which codes are pulled, and the KL to it
    is in closed form.

    Reference: Davidson et al. (2018), *Hyperspherical variational auto-encoders*, §3; Davidson, Tomczak & Gavves
    (2019), *Increasing expressivity of a hyperspherical VAE* (several spheres).

    Arguments:
        net: Network with output shape `VonMisesFisher.output_shape(latent, spheres)`: for each sphere d
            numbers for μ, which are normalised, and one for the concentration, κ = softplus(h) + least.
        latent: Numbers D = m·d of z: a sphere S^k takes d = k + 1 of them.
        spheres: Number m of spheres.
        least: Smallest concentration ≥ 0; 1 in the code of Davidson et al. (2018), against collapse; with 0 the
            rate may vanish.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if D is not m times 2 or more.
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> q = VonMisesFisher(MLP(5, [8], VonMisesFisher.output_shape(6, 2)), 6, spheres=2)
        >>> q(torch.zeros(4, 5)).rsample().unflatten(-1, (2, 3)).norm(dim=-1).shape
        torch.Size([4, 2])
    """

    family = _VonMisesFisher
