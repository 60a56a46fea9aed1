r"""A diffusion model as prior: noise is taken away step by step, by a network that is told how much there is.

Everything is said in the angle φ of a variance-preserving diffusion, from data at 0 to noise at π/2:

    z_φ = cos φ · z + sin φ · ε,   ε ~ N(0, I),          v = dz_φ/dφ = cos φ · ε − sin φ · z.

A network v̂(z_φ, φ) that is near E[v | z_φ] knows the rest: ẑ = cos φ · z_φ − sin φ · v̂, ε̂ = sin φ · z_φ + cos φ · v̂,
and the score ∇ log p(z_φ) = −ε̂ / sin φ. Every variance-preserving schedule is another speed along the same path; the
cosine schedule is φ = πt/2. The probability-flow equation has no singular end: dz/dφ = v̂(z, φ).
"""

from __future__ import annotations

__all__ = ["Diffusion"]

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.func import functional_call
from torch.types import _size
from zuko.distributions import NormalizingFlow
from zuko.lazy import LazyDistribution
from zuko.transforms import FreeFormJacobianTransform
from zuko.utils import broadcast

from elbox.cost import uncounted
from elbox.distributions import diagonal_normal
from elbox.errors import SettingError, check_number, check_whole
from elbox.nn import MLP
from elbox.parts import part

NOISE = math.pi / 2  # the angle at which nothing is left of the data
WAVES = 8  # of the angle that the network sees
BLOCK = 2**22  # numbers in a layer of all derivatives at once: densities without gradients are taken in such parts


@part
class Diffusion(LazyDistribution):
    r"""p(z): the distribution at φ = 0 of dz/dφ = v̂(z, φ) with z ~ N(0, I) at φ = π/2, v̂ trained to denoise.

    With a(φ) the divergence of v̂ along the way from z to z_{π/2},

        log p(z) = log N(z_{π/2}; 0, I) + ∫_0^{π/2} a(φ) dφ,

    by an adaptive solver, differentiable in z and in the weights. That is the density of what `sample` draws if
    `steps` is None. `elbox.fit_prior` trains the network by `loss`, on codes that an encoder gives; as a part of a VAE
    that is trained as a whole, the density itself is differentiated, which is right and slow. Untrained it is N(0, I),
    and codes are expected to have mean 0 and variance 1: put it into `Standardized` if they do not.

    Reference: Ho, Jain & Abbeel (2020), *Denoising diffusion probabilistic models*; Salimans & Ho (2022), *Progressive
    distillation for fast sampling of diffusion models*, appendix D (v, and the angle); Song et al. (2021), *Score-based
    generative modeling through stochastic differential equations* (the density by the probability-flow equation);
    Kingma et al. (2021), *Variational diffusion models* (the bound, that does not depend on the schedule).

    Arguments:
        latent: Dimension D of z.
        hidden: Widths of the network's hidden layers.
        floor: Smallest noise sin φ₀ in training, with log sin φ uniform above it: then the loss bounds −log p(z) of the
            denoising model in nats. None: φ is uniform (the cosine schedule), and the loss is no bound.
        steps: Steps of the sampler (DDIM); None solves the differential equation to `tolerance`.
        noise: η in [0, 1]: noise that a step of the sampler adds; 1 is ancestral sampling as in DDPM.
        tolerance: Relative error allowed in each step of the solver; at least ten times the rounding of its numbers.
        exact: Whether the divergence is exact, by D derivatives, or that along one random direction. Then log p(z) is
            an unbiased estimate, as a rate needs it, but its exponential is not: importance-weighted likelihoods come
            out too high.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Raises:
        SettingError: if a number is out of range.

    Example:
        >>> Diffusion(2, hidden=[8])().log_prob(torch.zeros(2))
        tensor(-1.8379, grad_fn=...)
    """

    slow = True  # a density takes hundreds of passes through the network

    def __init__(
        self,
        latent: int,
        hidden: Sequence[int] = (256, 256, 256),
        floor: float | None = None,
        steps: int | None = None,
        noise: float = 0.0,
        tolerance: float = 1e-5,
        *,
        exact: bool = True,
    ) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_number("noise", noise)
        check_number("tolerance", tolerance, positive=True)
        if steps is not None:
            check_whole("steps", steps)
        if floor is not None and not 0 < floor < 1:
            raise SettingError(f"got floor={floor}; expected a standard deviation between 0 and 1, such as 0.001")
        if noise > 1 or (noise and steps is None):
            raise SettingError(f"got noise={noise} with steps={steps}; expected at most 1, and a number of steps")
        self.latent, self.floor, self.steps, self.noise = latent, floor, steps, noise
        self.tolerance, self.exact = tolerance, exact
        self.velocity = _Velocity(latent, hidden)

    def loss(self, z: Tensor, c: Any = None) -> Tensor:
        r"""‖v − v̂(z_φ, φ)‖² at a random angle φ for each code, or with `floor` a bound on −log p(z) in nats.

        The bound is ∫_{φ₀}^{π/2} cot φ E‖v − v̂‖² dφ − E log N(z; z_{φ₀} / cos φ₀, tan² φ₀ I): it weighs the loss by the
        rate at which the signal-to-noise ratio falls. At φ = π/2 nothing is left to pay for. Together the angles of a
        batch are spread evenly.

        Arguments:
            z: Codes [..., D].
            c: Ignored.

        Returns:
            [...].
        """
        even = torch.linspace(0, 1, z[..., 0].numel() + 1, device=z.device, dtype=z.dtype)[:-1]
        share = ((even + torch.rand_like(even[:1])) % 1).reshape(z.shape[:-1])
        angle = NOISE * share if self.floor is None else torch.asin(self.floor**share)
        cos, sin, eps = angle.cos()[..., None], angle.sin()[..., None], torch.randn_like(z)
        error = (cos * eps - sin * z - self.velocity(angle, cos * z + sin * eps)).square().sum(-1)
        if self.floor is None:
            return error
        variance = self.floor**2 / (1 - self.floor**2)  # tan² φ₀
        return -math.log(self.floor) * error + 0.5 * self.latent * math.log(2 * math.pi * math.e * variance)

    def forward(self, c: Any = None) -> Distribution:
        return _Diffused(self)


class _Velocity(nn.Module):
    """v̂(z, φ), for angles [...] and noisy codes [..., D]."""

    waves: Tensor

    def __init__(self, latent: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.net = MLP(latent + 2 * WAVES, hidden, latent, nn.SiLU)
        nn.init.zeros_(self.net.net[-1].weight)  # N(0, I) to begin with
        self.register_buffer("waves", torch.arange(1.0, WAVES + 1), persistent=False)

    def forward(self, angle: Tensor, z: Tensor) -> Tensor:
        waves = self.waves * angle[..., None]
        return self.net(torch.cat(broadcast(z, waves.cos(), waves.sin(), ignore=1), -1))


class _Diffused(NormalizingFlow):
    """The flow from data to noise, with the samplers of diffusion models."""

    def __init__(self, prior: Diffusion) -> None:
        self.prior, self.estimated = prior, not prior.exact
        weights: dict[str, Tensor] = dict(prior.velocity.named_parameters())  # now: the backward pass is late
        zero = torch.zeros(prior.latent, dtype=prior.velocity.waves.dtype, device=prior.velocity.waves.device)
        tolerance = max(prior.tolerance, 10 * torch.finfo(zero.dtype).eps)  # below that no step is ever small enough
        flow = FreeFormJacobianTransform(
            lambda angle, z: functional_call(prior.velocity, weights, (angle, z)),
            0.0,
            NOISE,
            weights.values(),
            atol=tolerance,
            rtol=tolerance,
            exact=prior.exact,
        )
        super().__init__(flow, diagonal_normal(zero, torch.ones_like(zero)))

    @property
    def support(self) -> constraints.Constraint:
        return constraints.real_vector

    def log_prob(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return super().log_prob(x)
        widest = max(p.shape[0] for p in self.prior.parameters())
        size = max(1, BLOCK // (widest * (self.prior.latent if self.prior.exact else 1)))
        with uncounted():  # an evaluation's chunks need not be small for the sake of these: what follows is bounded
            found = [super(_Diffused, self).log_prob(z) for z in x.reshape(-1, x.shape[-1]).split(size)]
        return torch.cat(found).reshape(x.shape[:-1])

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        z = self.base.sample(torch.Size(sample_shape))
        if self.prior.steps is None:
            return self.transform.inv(z)
        angles = torch.linspace(NOISE, 0.0, self.prior.steps + 1, dtype=z.dtype, device=z.device)
        for angle, after in pairwise(angles):
            z = self._step(z, angle, after)
        return z

    def _step(self, z: Tensor, angle: Tensor, after: Tensor) -> Tensor:
        """From one angle to a smaller one: Song, Meng & Ermon (2021), *Denoising diffusion implicit models*, §4.1."""
        v = self.prior.velocity(angle, z)
        clean, eps = angle.cos() * z - angle.sin() * v, angle.sin() * z + angle.cos() * v
        kept = (1 - (angle.cos() / after.cos()).square()).clamp(min=0).sqrt()
        spread = self.prior.noise * after.sin() / angle.sin() * kept
        left = (after.sin().square() - spread.square()).clamp(min=0).sqrt()
        return after.cos() * clean + left * eps + spread * torch.randn_like(z)
