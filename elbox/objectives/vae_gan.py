"""VAE and GAN in one: reconstructions are compared in a layer of the discriminator."""

from __future__ import annotations

__all__ = ["VAEGAN"]

import torch
from torch import Tensor, nn

from elbox.errors import check_number, check_whole
from elbox.objectives.base import Objective
from elbox.objectives.elbo import ELBO
from elbox.objectives.game import deception, detection, single_group
from elbox.parts import part
from elbox.players import aside, frozen
from elbox.terms import Terms


@part
class VAEGAN(Objective, nn.Module):
    r"""−KL(q(z|x) ‖ p(z)) − ½ E_q‖f(x) − f(x̂)‖², with f a layer of a discriminator D = h ∘ f and x̂ = E[x|z].

    Three players, of which none moves another's weights (L is the feature distortion ½ E_q‖f(x) − f(x̂)‖², and x' the
    image of a draw of the prior):

        encoder: KL + L,      decoder: γ L − log D(x̂) − log D(x'),
        discriminator: −log D(x) − log(1 − D(x̂)) − log(1 − D(x')).

    The value is minus the encoder's loss, up to the constant of N(f(x); f(x̂), I); it bounds nothing, and models are
    selected by the ELBO of their likelihood.

    Reference: Larsen et al. (2016), *Autoencoding beyond pixels using a learned similarity metric*, §2.3 and algorithm
    1. There the decoder minimises log(1 − D); here it maximises log D, as Goodfellow et al. (2014), §3, advise.

    Arguments:
        features: f, a network x [..., *event] ↦ features [..., F].
        head: h, a network of the features [..., F] ↦ logit [...] of "an example of the data".
        gamma: γ ≥ 0, the weight of the feature distortion against deception in the decoder's loss.
        samples: Number of posterior samples K for each example.

    Raises:
        SettingError: if γ is negative, or there are no samples.
        IncompatibleError: if the model has several groups of latent variables.

    Example:
        >>> from elbox.nn import MLP
        >>> VAEGAN(MLP((1, 8, 8), [16], 8), MLP(8, [16], ())).uses_rate
        True
    """

    uses_rate = True
    separable = False
    sees_samples = True

    def __init__(self, features: nn.Module, head: nn.Module, gamma: float = 0.01, samples: int = 1) -> None:
        super().__init__()
        check_number("gamma", gamma)
        check_whole("samples", samples)
        self.features, self.head, self.gamma, self.samples = features, head, gamma, samples

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        assert terms.decode is not None
        group = single_group(terms, type(self).__name__)
        with torch.enable_grad():
            codes = group.z.detach().requires_grad_()  # the decoder's losses end here, before the encoder
            again = terms.decode(codes).mean
            drawn = terms.decode(group.prior_draws(type(self).__name__).detach()).mean
            distortion = self._distortion(terms, again)
            (slope,) = torch.autograd.grad(distortion.sum(), codes, retain_graph=True)
        encoder = distortion.detach() + (slope * (group.z - group.z.detach())).sum((0, 2))  # its slope, its value
        decoder = self.gamma * distortion.mean() + self._deception(again) + self._deception(drawn)
        own = detection(*(self.head(self.features(y)) for y in (terms.x, again.detach(), drawn.detach())))
        return -(terms.rate + encoder) - aside(decoder) - aside(own)

    def _distortion(self, terms: Terms, again: Tensor) -> Tensor:
        """½ E_q‖f(x) − f(x̂)‖², [B], with f held fixed."""
        with frozen(self.features):
            return 0.5 * (self.features(again) - self.features(terms.x)).square().sum(-1).mean(0)

    def _deception(self, made: Tensor) -> Tensor:
        with frozen(self.features, self.head):
            return deception(self.head(self.features(made))).mean()

    def bound(self) -> ELBO:
        return ELBO(samples=self.samples)
