"""The generative model by one objective, the inference model by another."""

from __future__ import annotations

__all__ = ["PIWAE", "Split"]

from torch import Tensor, nn

from elbox.errors import IncompatibleError, SettingError
from elbox.objectives.base import Objective
from elbox.objectives.miwae import MIWAE
from elbox.objectives.renyi import IWAE
from elbox.parts import part
from elbox.terms import Terms


@part
class Split(Objective, nn.Module):
    r"""∇_θ F for prior and likelihood, ∇_φ G for the posterior: two objectives F and G of the same samples.

    An estimator fits it if it fits both. The gradient of each player is exactly that of its own objective
    (`elbox.players`); the value, the logs and the bound are those of F. Parameters that prior and posterior share
    follow G. The likelihood is evaluated twice, once differentiated to its input and once to its weights.

    Reference: Rainforth et al. (2018), *Tighter variational bounds are not necessarily better*, §5, which trains
    the two networks on different targets.

    Arguments:
        generative: F, which trains prior and likelihood.
        inference: G, which trains the posterior; as many samples as F.

    Raises:
        SettingError: if the two have different numbers of samples, or one is no plain objective.
        IncompatibleError: if F is an upper bound.

    Example:
        >>> from elbox.objectives import CUBO, IWAE
        >>> Split(IWAE(10), CUBO(2.0, samples=10)).bound().alpha
        0.0
    """

    def __init__(self, generative: Objective, inference: Objective) -> None:
        super().__init__()
        for player in (generative, inference):
            if not isinstance(player, Objective) or isinstance(player, Split):
                raise SettingError(f"got {type(player).__name__} in Split; expected two objectives such as IWAE(64)")
        if generative.samples != inference.samples:
            raise SettingError(
                f"got {generative.samples} samples for the generative and {inference.samples} for the inference model; "
                "expected one number: both see the same samples"
            )
        check_fits_model(generative)
        self.generative, self.inference = generative, inference
        self.samples = generative.samples
        self.uses_rate = generative.uses_rate and inference.uses_rate
        self.separable = generative.separable and inference.separable
        self.needs_density = generative.needs_density or inference.needs_density
        self.sees_samples = generative.sees_samples or inference.sees_samples

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return self.generative(terms, progress)

    @property
    def pair(self) -> tuple[Objective, Objective]:
        return self.generative, self.inference

    def bound(self) -> Objective:
        return self.generative.bound()


def check_fits_model(objective: Objective) -> None:
    """Refuse to train a generative model on an upper bound.

    Raises:
        IncompatibleError: with a pair that works.
    """
    if not objective.fits_model:
        name = type(objective).__name__
        raise IncompatibleError(
            f"{name} bounds log p(x) from above, and a generative model that lowers it loses likelihood; use "
            f"Split(IWAE({objective.samples}), {name}(...)), which trains the posterior alone on it"
        )


def PIWAE(outer: int = 8, inner: int = 8) -> Split:  # noqa: N802 (the field's name for it)
    r"""F = IWAE(M · K) for the generative model, G = MIWAE(M, K) for the inference model.

    The generative model gets the tightest bound that the samples allow, the inference model a gradient whose
    signal-to-noise ratio is M times that of IWAE(M · K).

    Reference: Rainforth et al. (2018), *Tighter variational bounds are not necessarily better*, §5.

    Arguments:
        outer: M ≥ 1.
        inner: K ≥ 1; `samples` is M · K.

    Example:
        >>> [type(player).__name__ for player in PIWAE(8, 8).pair]
        ['Renyi', 'MIWAE']
    """
    return Split(IWAE(outer * inner), MIWAE(outer, inner))
