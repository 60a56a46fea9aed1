"""An objective with penalties, and what a penalty is."""

from __future__ import annotations

__all__ = ["Penalized", "Penalty"]

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from elbox.errors import IncompatibleError, SettingError
from elbox.objectives.base import Objective
from elbox.parts import part
from elbox.players import aside
from elbox.schedules import Schedule, check_weight, value_at
from elbox.terms import Terms


class Penalty(ABC):
    r"""A function of `Terms`, in nats, that is subtracted from an objective with a weight.

    Subclasses store `weight` and implement `__call__`. One that has parameters of its own, such as a discriminator, is
    an `nn.Module` too: its `__call__` holds them fixed (`elbox.players.frozen`), its `own_loss` trains them alone.

    Attributes:
        weight: Factor ≥ 0, a number or a `Schedule`; anything else is a `SettingError`.
        of_latents: Whether it looks at latent variables or their distributions. Then it is refused where some are
            auxiliary ones (`Group.below`), which are not the model's.
    """

    of_latents: bool = True

    @property
    def weight(self) -> float | Schedule:
        return self._weight

    @weight.setter
    def weight(self, weight: Any) -> None:
        check_weight("weight", weight)
        self._weight: float | Schedule = weight

    @abstractmethod
    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        """The penalty before it is weighed: [B], or [] where it is one of the batch; nats."""

    def own_loss(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor | None:
        """The loss [] of the penalty's own parameters, which must not reach any other; None without parameters."""
        return None


@part
class Penalized(Objective, nn.Module):
    r"""F − Σ_i λ_i R_i: an objective F with penalties R_i, nats.

    Penalties see whole batches, so examples and samples cannot be treated one by one (`Path` and `Score` are refused).
    A model is selected by the bound of F: a penalised objective is none.

    Reference: Tschannen, Bachem & Lucic (2018), *Recent advances in autoencoder-based representation learning*, §3,
    which surveys objectives of this form.

    Arguments:
        objective: F, such as `ELBO()` or `Distortion()`.
        penalties: The R_i with their weights.

    Raises:
        IncompatibleError: if the objective has one for each player (`Split`).
        SettingError: if something else than an objective is given, or what is added is no penalty.

    Example:
        >>> import elbox
        >>> Penalized(elbox.ELBO(), []).bound().arguments["beta"]
        1.0
    """

    separable = False
    sees_samples = True

    def __init__(self, objective: Objective, penalties: Sequence[Any]) -> None:
        super().__init__()
        bad = [type(p).__name__ for p in penalties if not isinstance(p, Penalty)]
        if bad or not isinstance(objective, Objective):
            raise SettingError(
                f"got {type(objective).__name__} with {', '.join(bad) or 'penalties'}; expected an objective such as "
                "ELBO() and penalties from elbox.objectives"
            )
        generative, inference = objective.pair
        if generative is not inference:
            raise IncompatibleError(
                f"got Penalized around {type(objective).__name__}, which has an objective for each player; use "
                "Split(Penalized(F, penalties), G), so that it is said whom the penalties are for"
            )
        self.objective, self.penalties = objective, tuple(penalties)
        self.players = nn.ModuleList([p for p in penalties if isinstance(p, nn.Module)])
        self.samples, self.uses_rate = objective.samples, objective.uses_rate
        self.needs_density, self.fits_model = objective.needs_density, objective.fits_model

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        value = self.objective(terms, progress)
        for penalty in self.penalties:
            _refuse_auxiliary(penalty, terms)
            value = value - value_at(penalty.weight, progress) * penalty(terms, progress)
            own = penalty.own_loss(terms, progress)
            if own is not None:
                value = value - aside(own)
        return value

    def bound(self) -> Objective:
        return self.objective.bound()


def _refuse_auxiliary(penalty: Penalty, terms: Terms) -> None:
    if penalty.of_latents and any(group.below for group in terms.groups.values()):
        raise IncompatibleError(
            f"{type(penalty).__name__} looks at codes and their posterior, got auxiliary variables beside them; use a "
            "DiagonalNormal posterior"
        )
