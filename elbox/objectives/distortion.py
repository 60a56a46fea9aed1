"""The distortion alone: what an autoencoder minimises."""

from __future__ import annotations

__all__ = ["Distortion"]

from torch import Tensor

from elbox.errors import check_whole
from elbox.objectives.base import Objective
from elbox.parts import part
from elbox.terms import Terms


@part
class Distortion(Objective):
    r"""E_q[log p(x|z)], minus the distortion: a bound on nothing, and the only objective of a deterministic code.

    With a penalty that pulls the aggregated posterior towards the prior it is that of a Wasserstein autoencoder.

    Reference: Hinton & Salakhutdinov (2006), *Reducing the dimensionality of data with neural networks*; Tolstikhin et
    al. (2018), *Wasserstein auto-encoders*, eq. 4.

    Arguments:
        samples: Number of posterior samples K for each example; more than one changes nothing for a deterministic code.

    Raises:
        SettingError: if there are no samples.

    Example:
        >>> Distortion().needs_density
        False
    """

    uses_rate = True
    needs_density = False

    def __init__(self, samples: int = 1) -> None:
        check_whole("samples", samples)
        self.samples = samples

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return -terms.distortion

    def bound(self) -> Distortion:
        return self
