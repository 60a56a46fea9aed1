"""Sliced Wasserstein distance of aggregated posterior and prior."""

from __future__ import annotations

__all__ = ["SlicedWasserstein"]

import torch
from torch import Tensor
from torch.nn.functional import normalize

from elbox.errors import check_whole
from elbox.objectives.penalized import Penalty
from elbox.objectives.penalties.aggregated import needs_pairs
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Group, Terms


@part
class SlicedWasserstein(Penalty):
    r"""SW₂² = E_θ[ ∫₀¹ (F_{θᵀz}⁻¹(u) − F_{θᵀy}⁻¹(u))² du ] with z ~ q(z), y ~ p(z) and θ uniform on the sphere, by

        (1/LB) Σ_l Σ_i ( sort(θ_lᵀz)_i − sort(θ_lᵀy)_i )²

    with L random directions: in one dimension the best transport pairs sorted samples. The estimate is too large by
    about what two samples of p(z) of B points differ, of order 1/B up to logarithms. y are draws of the model's prior,
    any that can be sampled; one without a reparameterised sampler is not moved by the penalty. The code may be
    deterministic. With K samples an example it is the mean over K batches of codes; of several groups of latent
    variables the sum is taken. Its unit is that of the codes, squared.

    Reference: Kolouri et al. (2018), *Sliced-Wasserstein autoencoder*, algorithm 1.

    Arguments:
        weight: λ ≥ 0, a number or a `Schedule`.
        projections: Number of directions L.

    Raises:
        SettingError: if there are no directions.
        IncompatibleError: if the model has no prior.
        ShapeError: for a batch of one example.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> SlicedWasserstein(10.0)(model.terms(torch.ones(3, 5), samples=4)).shape
        torch.Size([])
    """

    def __init__(self, weight: float | Schedule = 10.0, projections: int = 50) -> None:
        check_whole("projections", projections)
        self.weight, self.projections = weight, projections

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return torch.stack([self._of(group) for group in terms.groups.values()]).sum()

    def _of(self, group: Group) -> Tensor:
        needs_pairs(type(self).__name__, group)
        z, y = group.z, group.prior_draws(type(self).__name__)  # [K, B, D]
        theta = normalize(torch.randn(z.shape[-1], self.projections, dtype=z.dtype, device=z.device), dim=0)
        return ((z @ theta).sort(1).values - (y @ theta).sort(1).values).square().mean()
