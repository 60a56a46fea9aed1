"""Several encoders as one: products and mixtures of experts."""

from __future__ import annotations

__all__ = ["MixtureOfExperts", "ProductOfExperts"]

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from zuko.lazy import LazyDistribution

from elbox.distributions import NormalMixture, diagonal_normal
from elbox.errors import IncompatibleError, SettingError
from elbox.parts import part


@part
class ProductOfExperts(LazyDistribution):
    r"""q(z|x) ∝ p₀(z) Π_i q_i(z|x) of diagonal normals: precisions add up, and means are weighed by them,

        σ⁻² = Σ_i σ_i⁻²,      μ = σ² Σ_i μ_i σ_i⁻²,

    with the prior expert p₀(z) = N(0, I) among them. An expert that knows nothing of a dimension leaves it to the
    others. Each sees x; `elbox.nn.Columns` gives it a part.

    Reference: Wu & Goodman (2018), *Multimodal generative models for scalable weakly-supervised learning*.

    Arguments:
        experts: Posteriors q_i(z|x), diagonal normals, at least one.
        prior_expert: Include p₀, without which one expert alone would be itself.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if there is no expert.
        IncompatibleError: if an expert is not a diagonal normal.

    Example:
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> experts = [DiagonalNormal(MLP(5, [8], (2, 2)), 2) for _ in range(3)]
        >>> bool((ProductOfExperts(experts)(torch.zeros(3, 5)).stddev < 1).all())
        True
    """

    def __init__(self, experts: Sequence[nn.Module], *, prior_expert: bool = True) -> None:
        super().__init__()
        self.experts, self.prior_expert = nn.ModuleList(_some(experts)), prior_expert

    def forward(self, c: Any = None) -> Distribution:
        means, scales = _normals(self.experts, c)
        precision = scales.reciprocal().square()
        total = precision.sum(-2) + float(self.prior_expert)
        return diagonal_normal((means * precision).sum(-2) / total, total.rsqrt())


@part
class MixtureOfExperts(LazyDistribution):
    r"""q(z|x) = 1/M Σ_m q_m(z|x) of diagonal normals: each expert by itself must know where z is.

    Draws are reparameterised implicitly (`elbox.distributions.NormalMixture`); there each term of the bound is one of
    the mixture, not of the expert that was drawn, a tighter bound than theirs.

    Reference: Shi et al. (2019), *Variational mixture-of-experts autoencoders for multi-modal deep generative models*.

    Arguments:
        experts: Posteriors q_m(z|x), diagonal normals, at least one.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if there is no expert.
        IncompatibleError: if an expert is not a diagonal normal.

    Example:
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> experts = [DiagonalNormal(MLP(5, [8], (2, 2)), 2) for _ in range(3)]
        >>> MixtureOfExperts(experts)(torch.zeros(4, 5)).rsample().shape
        torch.Size([4, 2])
    """

    def __init__(self, experts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.experts = nn.ModuleList(_some(experts))

    def forward(self, c: Any = None) -> Distribution:
        means, scales = _normals(self.experts, c)
        return NormalMixture(torch.zeros_like(means[..., 0]), means, scales)


def _some(experts: Sequence[nn.Module]) -> Sequence[nn.Module]:
    if not experts:
        raise SettingError("got no experts; expected at least one posterior such as DiagonalNormal")
    return experts


def _normals(experts: nn.ModuleList, c: Any) -> tuple[Tensor, Tensor]:
    """Means and scales of all experts, [B, M, D] each."""
    found = [expert(c) for expert in experts]
    for expert, q in zip(experts, found, strict=True):
        if not (isinstance(q, Independent) and isinstance(q.base_dist, Normal)):
            raise IncompatibleError(
                f"got a {type(expert).__name__} among experts, whose products and mixtures are known for diagonal "
                "normals alone; use DiagonalNormal experts"
            )
    return torch.stack([q.base_dist.loc for q in found], -2), torch.stack([q.base_dist.scale for q in found], -2)
