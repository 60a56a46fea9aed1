"""Covariance of the aggregated posterior pulled towards that of the prior: DIP-VAE."""

from __future__ import annotations

__all__ = ["InferredPrior"]

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from elbox.distributions import Delta, OneHots, Quantized, VonMises
from elbox.distributions.support import curved, family, mean
from elbox.errors import IncompatibleError, check_number
from elbox.objectives.penalized import Penalty
from elbox.objectives.penalties.aggregated import needs_pairs
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Group, Terms


@part
class InferredPrior(Penalty):
    r"""Σ_{i≠j} C_ij² + ρ Σ_i (C_ii − 1)² with C the covariance, over the batch, of the posterior's means (DIP-VAE-I) or
    of the codes, C = Cov_x(E_q[z]) + E_x[Cov_q(z)] (DIP-VAE-II).

    The covariance of the means is the sample covariance Σ_b (μ_b − μ̄)(μ_b − μ̄)ᵀ / (B − 1). Of several groups of latent
    variables the sum is taken. The values have no unit: they suppose a standard normal prior.

    Reference: Kumar, Sattigeri & Balakrishnan (2018), *Variational inference of disentangled latent concepts from
    unlabeled observations*, eq. 6 (I) and 7 (II).

    Arguments:
        weight: λ_od ≥ 0, a number or a `Schedule`.
        ratio: ρ = λ_d / λ_od ≥ 0; in the paper 10 for DIP-VAE-I and 1 for DIP-VAE-II.
        of_codes: DIP-VAE-II instead of I.

    Raises:
        SettingError: if a weight is negative.
        IncompatibleError: if the posterior's moments are not known, or there are none (Cauchy).
        ShapeError: for a batch of one example.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> InferredPrior(10.0, ratio=10.0)(model.terms(torch.ones(3, 5))).item()
        20.0
    """

    def __init__(self, weight: float | Schedule = 10.0, ratio: float = 10.0, *, of_codes: bool = False) -> None:
        check_number("ratio", ratio)
        self.weight, self.ratio, self.of_codes = weight, ratio, of_codes

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return torch.stack([self._of(group) for group in terms.groups.values()]).sum()

    def _of(self, group: Group) -> Tensor:
        needs_pairs(type(self).__name__, group)
        c = _covariance_of_means(group.posterior)
        if self.of_codes:
            c = c + _mean_covariance(group.posterior)
        diagonal = c.diagonal()
        return (c - torch.diag(diagonal)).square().sum() + self.ratio * (diagonal - 1).square().sum()


def _covariance_of_means(q: Distribution) -> Tensor:
    """Cov_x(E_q[z]), [D, D]."""
    means = mean(q)
    if means is None or isinstance(family(q), VonMises) or curved(q):  # angles, points of a sphere: a mean direction
        raise _unknown(q)
    means = means.flatten(0, -2)
    centred = means - means.mean(0)  # not torch.cov, which cannot be traced
    return centred.T @ centred / (len(means) - 1)


def _mean_covariance(q: Distribution) -> Tensor:
    """E_x[Cov_q(z)], [D, D]."""
    if isinstance(q, Delta | Quantized):
        return torch.zeros((), dtype=q.mean.dtype, device=q.mean.device)
    if hasattr(q, "covariance_matrix"):
        return q.covariance_matrix.flatten(0, -3).mean(0)
    if isinstance(q, OneHots):  # π_i δ_ij − π_i π_j within a variable
        pi = q.base_dist.mean
        blocks = torch.diag_embed(pi) - pi[..., :, None] * pi[..., None, :]
        return torch.block_diag(*blocks.flatten(0, -4).mean(0))
    if isinstance(q, Independent) and q.reinterpreted_batch_ndims == 1:
        return torch.diag(q.variance.flatten(0, -2).mean(0))
    raise _unknown(q)


def _unknown(q: Distribution) -> IncompatibleError:
    return IncompatibleError(
        f"InferredPrior needs the mean and covariance of q(z|x), and {type(family(q)).__name__} has none or does not "
        "know them; use a DiagonalNormal posterior with a StandardNormal prior, or MMD()"
    )
