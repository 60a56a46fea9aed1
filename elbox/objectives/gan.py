"""The generative adversarial network: a generator and a discriminator, and no encoder."""

from __future__ import annotations

__all__ = ["GAN"]

from torch import Tensor, nn

from elbox.objectives.base import Objective
from elbox.objectives.game import deception, detection
from elbox.objectives.renyi import IWAE, Renyi
from elbox.parts import part
from elbox.players import aside, frozen
from elbox.terms import Terms

DRAWS = 50  # of the prior, by whose log-likelihood a generator is selected


@part
class GAN(Objective, nn.Module):
    r"""log D(x̂) with x̂ = E[x|z], z ~ p(z), for a generator that deceives a discriminator D of x and x̂.

    D minimises −E[log D(x)] − E[log(1 − D(x̂))] alone; neither loss reaches the other's weights. The codes must be draws
    of the prior: take the posterior `FromPrior`. With another posterior, reconstructions are judged.

    It bounds nothing. A generator is selected by log (1/K) Σ_k p(x|z_k) with K = 50 draws of the prior, a kernel
    density estimate whose kernel is the likelihood.

    Reference: Goodfellow et al. (2014), *Generative adversarial nets*, eq. 1 and algorithm 1, with one step of D for
    each of the generator; §3 for the generator's loss, §5 for the kernel density estimate.

    Arguments:
        discriminator: Network x [..., *event] ↦ logit [...] of "an example of the data".

    Example:
        >>> from elbox.nn import MLP
        >>> GAN(MLP((1, 8, 8), [16], ())).needs_density
        False
    """

    separable = False
    sees_samples = True
    needs_density = False

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        assert terms.px is not None
        assert terms.x is not None
        made = terms.px.mean
        with frozen(self.discriminator):
            value = -deception(self.discriminator(made)).mean(0)
        own = detection(self.discriminator(terms.x), self.discriminator(made.detach()))
        return value - aside(own)

    def bound(self) -> Renyi:
        return IWAE(DRAWS)
