"""The Hamiltonian posterior: draws of an encoder that move towards the true posterior."""

from __future__ import annotations

__all__ = ["Hamiltonian"]

import math

import torch
from torch import Tensor, nn

from elbox.errors import SettingError, check_number, check_whole
from elbox.hmc import Field, leapfrog
from elbox.parts import part
from elbox.posteriors.evolving import Evolving

LOG_2PI = math.log(2 * math.pi)


@part
class Hamiltonian(Evolving):
    r"""z_K of K leapfrog steps along H(z, ρ) = −log p(x, z) + ½‖ρ‖² from z_0 ~ q_0(z|x) and ρ_0 ~ N(0, T_0 I), with

        log w = log p(x, z_K) + log N(ρ_K; 0, I) − log q_0(z_0|x) − log N(ρ_0 / √T_0; 0, I),

    a flow of position and momentum that reads the model instead of weights of its own. A step is

        ρ ← ρ + ½ε ⊙ ∇log p(x, z),    z ← z + ε ⊙ ρ,    ρ ← ρ + ½ε ⊙ ∇log p(x, z),    ρ ← α_k ρ,

    of determinant α_k^D, and Π_k α_k^D = T_0^{−D/2}. Learned are the step sizes ε = limit · sigmoid(·), one for each
    dimension, and T_0. The density of z_K alone is not known: draws are scored with their momentum, and trained by
    `Reparameterized` only. `steps` + 1 gradients of log p(x, z) are its price. Training and evaluation are the same
    computation.

    Reference: Caterini et al. (2018), *Hamiltonian variational auto-encoder*, §3 (the estimator; fixed tempering; in
    their code 64 latent dimensions, 1 to 20 steps, ε from 0.2 and at most 0.5, T_0 from 1.5); Neal (2005),
    *Hamiltonian importance sampling*.

    Arguments:
        posterior: q_0(z|x), the start, a reparameterised posterior such as `DiagonalNormal`.
        prior: p(z), the model's own.
        likelihood: p(x|z), the model's own.
        latent: Dimension D of z.
        steps: Number of leapfrog steps K.
        step: Step size ε to begin with, in units of z.
        limit: What no step size exceeds.
        temperature: T_0 ≥ 1 to begin with; 1 for no tempering.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D], whose density is known of its own draws alone.

    Raises:
        SettingError: if a number is out of range.
        IncompatibleError: if the likelihood is one of the whole batch.

    Example:
        >>> from elbox.likelihoods import Bernoulli
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> from elbox.priors import StandardNormal
        >>> prior, likelihood = StandardNormal(2), Bernoulli(MLP(2, [8], 5))
        >>> q = Hamiltonian(DiagonalNormal(MLP(5, [8], (2, 2)), 2), prior, likelihood, 2)
        >>> q(torch.ones(3, 5)).sample((7,)).shape
        torch.Size([7, 3, 2])
    """

    def __init__(
        self,
        posterior: nn.Module,
        prior: nn.Module,
        likelihood: nn.Module,
        latent: int,
        steps: int = 5,
        step: float = 0.2,
        limit: float = 0.5,
        temperature: float = 1.5,
    ) -> None:
        super().__init__(posterior, prior, likelihood, steps, temperature)
        check_whole("latent", latent)
        check_number("step", step, positive=True)
        check_number("limit", limit, positive=True)
        if step >= limit:
            raise SettingError(f"got step={step}, limit={limit}; expected a step below its limit")
        self.limit = limit
        self.logit_step = nn.Parameter(torch.full((latent,), math.log(step / (limit - step))))

    @property
    def sizes(self) -> Tensor:
        """Step sizes ε, [D]."""
        return self.limit * self.logit_step.sigmoid()

    def start(self, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        return noise, self.log_momentum(z, noise)

    def log_momentum(self, z: Tensor, momentum: Tensor) -> Tensor:
        return -0.5 * (momentum.square() + LOG_2PI).sum(-1)

    def step(self, field: Field, z: Tensor, momentum: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z, momentum, _, slope = leapfrog(field, z, momentum, slope, self.sizes, 1)
        return z, momentum, slope
