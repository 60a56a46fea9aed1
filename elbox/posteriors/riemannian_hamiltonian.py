"""The Riemannian Hamiltonian posterior: the latent space has a metric of its own."""

from __future__ import annotations

__all__ = ["RiemannianHamiltonian"]

import math

import torch
from torch import Tensor, nn

from elbox.errors import check_number, check_whole
from elbox.hmc import Field, generalized_leapfrog, own
from elbox.parts import part
from elbox.posteriors.evolving import Evolving

LOG_2PI = math.log(2 * math.pi)


@part
class RiemannianHamiltonian(Evolving):
    r"""As `Hamiltonian`, with a metric G(z): momenta ρ ~ N(0, G(z)), and

        H(z, ρ) = −log p(x, z) + ½ log|G(z)| + ½ ρᵀ G⁻¹(z) ρ,
        log w = log p(x, z_K) + log N(ρ_K; 0, G(z_K)) − log q_0(z_0|x) − log N(ρ_0 / √T_0; 0, G(z_0)).

    H is not separable: a step is the generalised leapfrog, two parts of which are solved by fixed-point iterations.
    Their error, and so that of the determinant 1, falls by a factor of order ε‖ρ‖ with each: some 10⁻⁶ at the defaults,
    and without bound where a larger ε, T_0 or a steeper metric makes them diverge. Learned are the metric and T_0.

    Reference: Chadebec et al. (2020), *Geometry-aware Hamiltonian variational auto-encoder*; Chadebec et al. (2022),
    *Data augmentation in high dimensional low sample size setting using a geometry-based variational autoencoder*
    (K = 3 and √β_0 = 0.3, β_0 = 1/T_0, are those of their code, which makes 3 iterations at ε = 0.001).

    Arguments:
        posterior: q_0(z|x), the start, a reparameterised posterior such as `DiagonalNormal`.
        prior: p(z), the model's own.
        likelihood: p(x|z), the model's own.
        metric: z ↦ G⁻¹(z), such as `elbox.nn.RadialMetric`.
        steps: Number of steps K.
        step: Step size ε.
        temperature: T_0 ≥ 1 to begin with; 1 for no tempering.
        iterations: Fixed-point iterations for each implicit part of a step.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D], whose density is known of its own draws alone.

    Raises:
        SettingError: if a number is out of range.
        IncompatibleError: if the likelihood is one of the whole batch.

    Example:
        >>> from elbox.likelihoods import Bernoulli
        >>> from elbox.nn import MLP, RadialMetric
        >>> from elbox.posteriors import DiagonalNormal
        >>> from elbox.priors import StandardNormal
        >>> prior, likelihood = StandardNormal(2), Bernoulli(MLP(2, [8], 5))
        >>> q = RiemannianHamiltonian(DiagonalNormal(MLP(5, [8], (2, 2)), 2), prior, likelihood, RadialMetric(2))
        >>> q(torch.ones(3, 5)).sample((7,)).shape
        torch.Size([7, 3, 2])
    """

    def __init__(
        self,
        posterior: nn.Module,
        prior: nn.Module,
        likelihood: nn.Module,
        metric: nn.Module,
        steps: int = 3,
        step: float = 0.01,
        temperature: float = 1 / 0.09,
        iterations: int = 6,
    ) -> None:
        super().__init__(posterior, prior, likelihood, steps, temperature)
        check_number("step", step, positive=True)
        check_whole("iterations", iterations)
        self.metric, self.size, self.iterations = metric, step, iterations

    def start(self, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """ρ = C⁻ᵀ ε with C Cᵀ = G⁻¹, of covariance C⁻ᵀ C⁻¹ = G."""
        factor = _factor(self.metric(z))
        momentum = torch.linalg.solve_triangular(factor.mT, noise[..., None], upper=True).squeeze(-1)
        return momentum, _log_normal(noise, factor)

    def log_momentum(self, z: Tensor, momentum: Tensor) -> Tensor:
        factor = _factor(self.metric(z))
        return _log_normal((factor.mT @ momentum[..., None]).squeeze(-1), factor)

    def step(self, field: Field, z: Tensor, momentum: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        slopes = self._push, self._velocity
        z, momentum, _, slope = generalized_leapfrog(
            field, *slopes, z, momentum, slope, step=self.size, iterations=self.iterations
        )
        return z, momentum, slope

    def _velocity(self, z: Tensor, momentum: Tensor) -> Tensor:
        """∂_ρ of T(z, ρ) = ½ log|G(z)| + ½ ρᵀ G⁻¹(z) ρ."""
        velocity: Tensor = (self.metric(z) @ momentum[..., None]).squeeze(-1)
        return velocity

    def _push(self, z: Tensor, momentum: Tensor) -> Tensor:
        """∂_z of T(z, ρ); the momentum may itself be made of z."""
        through = torch.is_grad_enabled()
        with torch.enable_grad():
            at = own(z, through=through)
            inverse = self.metric(at)
            energy = 0.5 * (momentum * (inverse @ momentum[..., None]).squeeze(-1)).sum(-1) - _log_det(_factor(inverse))
            (slope,) = torch.autograd.grad(energy.sum(), at, create_graph=through, materialize_grads=True)
        return slope


def _factor(inverse: Tensor) -> Tensor:
    """C of C Cᵀ = G⁻¹, lower triangular; NaN where a flow has left all numbers behind, for training to report."""
    factor: Tensor = torch.linalg.cholesky_ex(inverse).L
    return factor


def _log_det(factor: Tensor) -> Tensor:
    """log|C| = −½ log|G|, [...]."""
    return torch.diagonal(factor, dim1=-2, dim2=-1).log().sum(-1)


def _log_normal(noise: Tensor, factor: Tensor) -> Tensor:
    """log N(ρ; 0, G) of ρ = C⁻ᵀ ε, with C Cᵀ = G⁻¹: log N(ε; 0, I) + log|C|."""
    return _log_det(factor) - 0.5 * (noise.square() + LOG_2PI).sum(-1)
