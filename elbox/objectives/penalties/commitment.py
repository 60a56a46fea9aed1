"""What keeps an encoder near the vectors of its codebook, and these near the encoder."""

from __future__ import annotations

__all__ = ["Commitment"]

from torch import Tensor

from elbox.distributions import Quantized
from elbox.errors import IncompatibleError
from elbox.objectives.penalized import Penalty
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Terms


@part
class Commitment(Penalty):
    r"""R = Σ_l ‖z_e − sg(e_1 + … + e_l)‖², summed over positions: the encoder's part, to which sg lets no other be.

    The codebook's part, Σ_l ‖sg(r_{l−1}) − e_l‖², trains vectors that are parameters, at weight 1 whatever β is, and
    nothing else. It adds nothing to the value; vectors that are moving averages have none.

    Summed, like every log-density here, where the paper takes the mean over positions: its β depends on the scale of
    the distortion, which is a mean over pixels in the authors' code.

    Reference: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, eq. 3 (β = 0.25).

    Arguments:
        weight: β ≥ 0, a number or a `Schedule`.

    Raises:
        IncompatibleError: if the code is not quantised.

    Example:
        >>> import elbox, torch
        >>> recipe = elbox.recipes.vq_vae(elbox.DataSpec((5,), "real"))
        >>> terms = recipe.model.eval().terms(torch.randn(3, 5), draw=elbox.draws.sample)
        >>> recipe.objective.penalties[0](terms).shape
        torch.Size([3])
    """

    def __init__(self, weight: float | Schedule = 0.25) -> None:
        self.weight = weight

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return sum((_squared(q.errors[0]) for q in _quantized(terms)), terms.log_px.new_zeros(()))

    def own_loss(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor | None:
        learned = [q for q in _quantized(terms) if q.value.requires_grad]
        return sum((_squared(q.errors[1]).mean() for q in learned), terms.log_px.new_zeros(())) if learned else None


def _quantized(terms: Terms) -> list[Quantized]:
    posteriors = [group.posterior for group in terms.groups.values()]
    found = [q for q in posteriors if isinstance(q, Quantized)]
    if not found:
        raise IncompatibleError(
            f"Commitment holds what is quantised to its codebook, got {type(posteriors[0]).__name__}, which "
            "has none; use CodeNorm(), which keeps other codes from growing"
        )
    return found


def _squared(errors: Tensor) -> Tensor:
    """Σ over levels, positions and dimensions, [B]."""
    return errors.square().sum((-3, -2, -1))
