"""The rate alone: what is left of the ELBO where a penalty takes the place of the distortion."""

from __future__ import annotations

__all__ = ["Rate"]

from torch import Tensor

from elbox.errors import check_whole
from elbox.objectives.base import Objective
from elbox.objectives.elbo import ELBO
from elbox.parts import part
from elbox.schedules import Schedule, check_weight, value_at
from elbox.terms import Terms


@part
class Rate(Objective):
    r"""−β · KL(q(z|x) ‖ p(z)): the ELBO without its distortion, to which a penalty on reconstructions is added.

    On its own its optimum is q(z|x) = p(z). With a penalty Δ(x, x̂) of weight C it is the expected-loss VAE,
    −C · E_q[Δ(x, x̂(z))] − KL(q(z|x) ‖ p(z)), which is no bound; models are selected by the ELBO of their likelihood.

    Reference: Snell et al. (2017), *Learning to generate images with perceptual similarity metrics* (the expected-loss
    VAE); Hou et al. (2017), *Deep feature consistent variational autoencoder*.

    Arguments:
        beta: Weight of the rate ≥ 0, a number or a `Schedule`.
        samples: Number of posterior samples K for each example.

    Raises:
        SettingError: if the weight is negative, or there are no samples.

    Example:
        >>> type(Rate().bound()).__name__
        'ELBO'
    """

    uses_rate = True

    def __init__(self, beta: float | Schedule = 1.0, samples: int = 1) -> None:
        check_weight("beta", beta)
        check_whole("samples", samples)
        self.beta, self.samples = beta, samples

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return -value_at(self.beta, progress) * terms.rate

    def bound(self) -> ELBO:
        return ELBO(samples=self.samples)
