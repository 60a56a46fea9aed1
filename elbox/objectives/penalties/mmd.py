"""Maximum mean discrepancy of aggregated posterior and prior: InfoVAE, WAE-MMD."""

from __future__ import annotations

__all__ = ["MMD"]

import torch
from torch import Tensor

from elbox.kernels import InverseMultiquadric, Kernel
from elbox.objectives.penalized import Penalty
from elbox.objectives.penalties.aggregated import needs_pairs
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Group, Terms


@part
class MMD(Penalty):
    r"""MMD² = E[k(z, z')] − 2 E[k(z, y)] + E[k(y, y')] with z, z' ~ q(z) and y, y' ~ p(z), by its unbiased estimator

        Σ_{i≠j} [ k(z_i, z_j) + k(y_i, y_j) ] / B(B − 1) − 2 Σ_ij k(z_i, y_j) / B²,

    which may be negative. y are draws of the model's prior, any that can be sampled; one without a reparameterised
    sampler is not moved by the penalty. Needs no density of q(z|x), so the code may be deterministic. With K samples an
    example it is the mean over K batches of codes; of several groups of latent variables the sum is taken. It has no
    unit: the weight decides what it costs in nats.

    Reference: Gretton et al. (2012), *A kernel two-sample test*, lemma 6; Zhao, Song & Ermon (2019), *InfoVAE*;
    Tolstikhin et al. (2018), *Wasserstein auto-encoders*, eq. 4 and algorithm 2.

    Arguments:
        weight: λ ≥ 0, a number or a `Schedule`.
        kernel: k, such as `RBF()`; None takes `InverseMultiquadric()`.

    Raises:
        IncompatibleError: if the model has no prior.
        ShapeError: for a batch of one example.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> MMD(10.0)(model.terms(torch.ones(3, 5), samples=4)).shape
        torch.Size([])
    """

    def __init__(self, weight: float | Schedule = 10.0, kernel: Kernel | None = None) -> None:
        self.weight, self.kernel = weight, kernel or InverseMultiquadric()

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return torch.stack([self._of(group) for group in terms.groups.values()]).sum()

    def _of(self, group: Group) -> Tensor:
        needs_pairs(type(self).__name__, group)
        return _squared(group.z, group.prior_draws(type(self).__name__), self.kernel).mean()


def _squared(z: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """The unbiased estimate of MMD² from z and y [K, B, D] each, [K]."""
    return _between_others(kernel(z, z)) + _between_others(kernel(y, y)) - 2 * kernel(z, y).mean((-2, -1))


def _between_others(k: Tensor) -> Tensor:
    """Mean of k [K, B, B] off its diagonal."""
    n = k.shape[-1]
    return (k.sum((-2, -1)) - k.diagonal(dim1=-2, dim2=-1).sum(-1)) / (n * (n - 1))
