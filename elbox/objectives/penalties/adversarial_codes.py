"""A discriminator that tells codes from draws of the prior."""

from __future__ import annotations

__all__ = ["AdversarialCodes"]

from torch import Tensor, nn

from elbox.objectives.game import deception, detection, single_group
from elbox.objectives.penalized import Penalty
from elbox.parts import part
from elbox.players import frozen
from elbox.schedules import Schedule
from elbox.terms import Terms


@part
class AdversarialCodes(nn.Module, Penalty):
    r"""−E_q[log D(z)], where a discriminator D learns to tell codes z ~ q(z|x) from draws z' ~ p(z).

    It pulls the aggregated posterior ∫ q(z|x) p(x) dx, and not each q(z|x), towards the prior, with the encoder as the
    one who deceives. D minimises −E_p[log D(z')] − E_q[log(1 − D(z))] alone; neither loss reaches the other's weights.
    With a deterministic code and `Distortion` this is the adversarial autoencoder, and WAE-GAN with λ = `weight`. All
    players share one optimiser and learning rate.

    Reference: Makhzani et al. (2016), *Adversarial autoencoders*, §2; Tolstikhin et al. (2018), *Wasserstein
    auto-encoders*, algorithm 1.

    Arguments:
        discriminator: Network z [..., D] ↦ logit [...] of "drawn from the prior".
        weight: λ ≥ 0, a number or a `Schedule`.

    Raises:
        IncompatibleError: if the model has no prior, or several groups of latent variables.

    Example:
        >>> from elbox.nn import MLP
        >>> AdversarialCodes(MLP(2, [16], ()), weight=10.0).weight
        10.0
    """

    def __init__(self, discriminator: nn.Module, weight: float | Schedule = 1.0) -> None:
        super().__init__()
        self.discriminator, self.weight = discriminator, weight

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        z = single_group(terms, type(self).__name__).z
        with frozen(self.discriminator):
            return deception(self.discriminator(z)).mean(0)

    def own_loss(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        group = single_group(terms, type(self).__name__)
        drawn = group.prior_draws(type(self).__name__).detach()
        return detection(self.discriminator(drawn), self.discriminator(group.z.detach()))
