"""Straight-through gradients: discrete codes forward, a continuous stand-in backward."""

from __future__ import annotations

__all__ = ["StraightThrough"]

from typing import Any

from torch import Tensor, nn

from elbox import draws
from elbox.distributions import Code, Quantized
from elbox.estimators.base import Estimate, Estimator
from elbox.estimators.codes import Encoded
from elbox.objectives import Objective
from elbox.parts import part
from elbox.schedules import Schedule, check_weight, value_at
from elbox.terms import Terms


@part
class StraightThrough(Estimator):
    r"""z = b + s − stop(s): the discrete code b forward, the gradient of a continuous s backward.

    Without a temperature s is the mean E_q[z], σ(l) or softmax(l); with a temperature λ it is the relaxed code of the
    same noise as b (straight-through Gumbel). Biased: the likelihood's slope at b is taken for its difference between
    codes, right only where log p(x|z) is linear in each bit. The value is that of the discrete objective. Where the
    objective sees only the rate, that is in closed form if there is one.

    A quantised code b (`QuantizedCode`) has no noise; s is what was quantised, whatever the temperature.

    Reference: Bengio, Léonard & Courville (2013), *Estimating or propagating gradients through stochastic neurons for
    conditional computation* (the straight-through estimator); van den Oord, Vinyals & Kavukcuoglu (2017), *Neural
    discrete representation learning*, §3.2; Jang, Gu & Poole (2017), *Categorical reparameterization
    with Gumbel-softmax*, §2.2.

    Arguments:
        temperature: λ > 0 of the relaxed code, a number or a `Schedule`; None for the mean.

    Raises:
        SettingError: if the temperature is not positive.
        IncompatibleError: if the posterior is not over discrete codes.

    Example:
        >>> import torch, elbox
        >>> from elbox.nn import MLP
        >>> model = elbox.VAE(elbox.priors.BernoulliPrior(3), elbox.likelihoods.Bernoulli(MLP(3, [], 5)),
        ...                   elbox.posteriors.BernoulliCode(MLP(5, [], 3), 3))
        >>> StraightThrough()(model, torch.ones(2, 5), elbox.ELBO()).objective.shape
        torch.Size([2])
    """

    unbiased = False
    bias = "the slope of the likelihood stands for its differences between codes"

    def __init__(self, temperature: float | Schedule | None = None) -> None:
        if temperature is not None:
            check_weight("temperature", temperature, positive=True)
        self.temperature = temperature

    @property
    def draw(self) -> draws.DrawFunction:
        return self._draw(1.0)

    def check(self, objective: Objective) -> None:
        pass

    def once(self, model: nn.Module, x: Tensor, objective: Objective, c: Any, progress: Tensor | float) -> Estimate:
        terms: Terms = model.terms(x, objective.samples, c=c, draw=self._draw(progress))  # type: ignore[operator]
        return self.estimate(objective, terms, progress)

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        found = terms.with_kl() if objective.uses_rate else terms
        value = objective(found, progress)
        return Estimate(-value.mean(), value, found)

    def _draw(self, progress: Tensor | float) -> draws.DrawFunction:
        encoded = Encoded("StraightThrough", (Code, Quantized))

        def straight_through(posterior: nn.Module, context: Any, samples: int) -> draws.Draw:
            q = encoded(posterior, context)
            if isinstance(q, Quantized):
                z = q.straight_through.expand(samples, *q.batch_shape, -1)
                return draws.Draw(z, q.log_prob(z), q)
            noisy = q.noisy((samples,))
            soft = q.mean if self.temperature is None else q.soften(noisy, value_at(self.temperature, progress))
            z = q.harden(noisy) + (soft - soft.detach())
            return draws.Draw(z, q.log_prob(z), q)

        return straight_through
