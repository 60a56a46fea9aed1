r"""The uniform distribution on the sphere, and products of distributions on spheres."""

from __future__ import annotations

__all__ = ["HypersphericalUniform", "OnSpheres"]

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints, register_kl
from torch.types import _size

from elbox.distributions.axial import Axial, log_area
from elbox.distributions.manifolds import Spheres


class HypersphericalUniform(Distribution):
    r"""The uniform distribution on the unit sphere of R^d, with respect to its area: log p(z) = −log S_d.

    Reference: Davidson et al. (2018), *Hyperspherical variational auto-encoders*, §3.2 (the prior); Muller (1959),
    *A note on a method for generating points uniformly on n-dimensional spheres*.

    Arguments:
        dimension: d ≥ 2.
        like: A tensor [...] with the batch shape, type and device of densities and draws; its values do not matter.

    Example:
        >>> p = HypersphericalUniform(3, torch.zeros(2))
        >>> p.sample((5,)).shape, p.log_prob(p.sample()).exp()  # 1/4π
        (torch.Size([5, 2, 3]), tensor([0.0796, 0.0796]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = True

    def __init__(self, dimension: int, like: Tensor) -> None:
        self.dimension, self.like = dimension, like
        super().__init__(like.shape, torch.Size([dimension]), validate_args=False)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> HypersphericalUniform:
        return HypersphericalUniform(self.dimension, self.like.expand(batch_shape))

    @property
    def support(self) -> constraints.Constraint:
        return Spheres(1, self.dimension)

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.like.dtype, device=self.like.device)
        return torch.nn.functional.normalize(noise, dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return torch.full(shape, -log_area(self.dimension), dtype=value.dtype, device=value.device)

    def entropy(self) -> Tensor:
        return torch.full_like(self.like, log_area(self.dimension))


@register_kl(Axial, HypersphericalUniform)
def _kl_axial_uniform(q: Axial, p: HypersphericalUniform) -> Tensor:
    r"""KL(q ‖ uniform) = κ E_q[η] + L(κ).

    Reference: Davidson et al. (2018), *Hyperspherical variational auto-encoders*, §3.2; De Cao & Aziz (2020), *The
    power spherical distribution*, §2.
    """
    return q.rate()


class OnSpheres(Independent):
    r"""m independent distributions on spheres S^{d−1}, side by side: an event of D = m·d numbers.

        log q(z) = Σ_i log q_i(z_i),    z = (z_1, …, z_m),  |z_i| = 1.

    Reference: Davidson, Tomczak & Gavves (2019), *Increasing expressivity of a hyperspherical VAE* (several small
    spheres instead of a large one).

    Arguments:
        base: A distribution over [d] with batch shape [..., m].

    Example:
        >>> p = OnSpheres(HypersphericalUniform(3, torch.zeros(2)))
        >>> p.sample((5,)).shape, p.log_prob(p.sample())  # −2 log 4π
        (torch.Size([5, 6]), tensor(-5.0620))
    """

    def __init__(self, base: Distribution) -> None:
        super().__init__(base, 1, validate_args=False)
        self._sizes = (base.batch_shape[-1], base.event_shape[0])
        self._event_shape = torch.Size([self._sizes[0] * self._sizes[1]])

    @property
    def support(self) -> constraints.Constraint:
        return Spheres(*self._sizes)

    @property
    def mean(self) -> Tensor:
        """The mean direction on each sphere, [..., D]."""
        return self.base_dist.mean.flatten(-2)

    @property
    def mode(self) -> Tensor:
        return self.base_dist.mode.flatten(-2)

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError

    def expand(self, batch_shape: Any, _instance: Any = None) -> OnSpheres:
        return OnSpheres(self.base_dist.expand(torch.Size(batch_shape) + self._sizes[:1]))

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.base_dist.rsample(sample_shape).flatten(-2)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.base_dist.sample(sample_shape).flatten(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base_dist.log_prob(value.unflatten(-1, self._sizes)).sum(-1)
