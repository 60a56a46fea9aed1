r"""Inference over weights: full variational Bayes and maximum a posteriori, around any other estimator.

Both add what belongs to the data set as a whole, shared out over its N examples. Held-out data pay neither: the weights
have been paid for with the training data.
"""

from __future__ import annotations

__all__ = ["MAP", "BayesianWeights"]

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from elbox import draws
from elbox.errors import IncompatibleError, SettingError, check_number, check_whole
from elbox.estimators.base import Estimate, Estimator
from elbox.estimators.monte_carlo_em import MonteCarloEM
from elbox.nn.bayesian import BayesianLinear
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Group, Terms


class _Around(nn.Module):
    """What the two share: another estimator within, and the number N of training examples."""

    def __init__(self, estimator: Estimator, examples: int) -> None:
        super().__init__()
        check_whole("examples", examples, 0)
        self.estimator, self.examples = estimator, examples
        self.own_draws = estimator.own_draws
        self.unbiased, self.bias, self.robust = estimator.unbiased, estimator.bias, estimator.robust

    @property
    def draw(self) -> draws.DrawFunction:
        return self.estimator.draw

    def check(self, objective: Objective) -> None:
        self.estimator.check(objective)
        if not self.examples:
            raise SettingError(
                f"got {type(self).__name__} without the number of training examples, over which the weights' share is "
                "spread; expected DataSpec.examples ≥ 1: take the spec of loaded data, or DataSpec(..., examples=1000)"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        """The loss without the weights' share, which `__call__` adds."""
        return self.estimator.estimate(objective, terms, progress)

    def logs(self) -> dict[str, Tensor]:
        """Those of the estimator within."""
        return self.estimator.logs()

    def __call__(
        self, model: nn.Module, x: Tensor, objective: Objective, *, c: Any = None, progress: Tensor | float = 1.0
    ) -> Estimate:
        """The loss of a batch, with the weights' share; arguments as `Estimator`."""
        Estimator.refuse(self, model, objective)  # type: ignore[arg-type]
        return self._with_share(model, self.estimator(model, x, objective, c=c, progress=progress))

    def _with_share(self, model: nn.Module, estimate: Estimate) -> Estimate:
        raise NotImplementedError


@part
class BayesianWeights(_Around, Estimator):
    r"""F(x) − KL(q(w) ‖ p(w)) / N: with the ELBO as F, a bound on (1/N) log p(x_1, …, x_N) with the weights integrated
    out.

    KL(q(w) ‖ p(w)) / N enters the terms as a group of its own, `weights`, whose rate is logged as `rate/weights`. At
    evaluation, weights are drawn from q(w) anew for each sample and example, and the rate has no such group: the ELBO
    of a held-out x is then a bound on log ∫ q(w) p(x|w) dw, its predictive density, and so is its importance-weighted
    log-likelihood.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, appendix F (full variational Bayes).

    Arguments:
        estimator: How the gradient of F is estimated; the objective must be one of the rate, such as `ELBO`.
        examples: Number N of training examples (`DataSpec.examples`).

    Raises:
        IncompatibleError: if the model has no random weights, or the objective weighs samples: they have weights each
            of its own, so that the weighted mean would be no bound.
        SettingError: if N is not known.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.bayesian_vae(elbox.DataSpec((5,), "binary", examples=100), latent=2)
        >>> terms = recipe.estimator(recipe.model, torch.ones(3, 5), recipe.objective).terms
        >>> list(terms.groups), terms.groups["weights"].rate.shape
        (['z', 'weights'], torch.Size([3]))
    """

    def __init__(self, estimator: Estimator, examples: int) -> None:
        super().__init__(estimator, examples)
        within = estimator
        while isinstance(within, _Around):
            within = within.estimator
        if isinstance(within, MonteCarloEM):
            raise IncompatibleError(
                "BayesianWeights draws new weights whenever p(x|z) is asked for, and MonteCarloEM needs a density that "
                "stays; use MAP(MonteCarloEM(), N), or BayesianWeights(AnalyticKL(), N)"
            )

    def check(self, objective: Objective) -> None:
        if not objective.uses_rate:
            way_out = ("ELBO(), or " if objective.needs_density else "") + "MAP(Reparameterized(), N)"
            raise IncompatibleError(
                f"BayesianWeights needs an objective of the rate, and {type(objective).__name__} is none, of samples "
                f"that have weights each of its own; use {way_out}"
            )
        super().check(objective)

    def _with_share(self, model: nn.Module, estimate: Estimate) -> Estimate:
        layers = [m for m in model.modules() if isinstance(m, BayesianLinear)]
        if not layers:
            raise IncompatibleError(
                f"BayesianWeights needs a model with random weights, got a {type(model).__name__} without; use "
                f"Bayesian(MLP(...)) as the likelihood's network, or MAP({type(self.estimator).__name__}(), N)"
            )
        share = torch.stack([layer.kl() for layer in layers]).sum() / self.examples
        terms = replace(estimate.terms, groups=estimate.terms.groups | {"weights": _group(layers, estimate, share)})
        return Estimate(estimate.loss + share, estimate.objective - share, terms)


@part
class MAP(_Around, Estimator):
    r"""F(x) + log p(θ) / N with p(θ) = N(θ; 0, scale² I), for θ the parameters of prior and likelihood.

    Its maximum is the most probable θ given the data, under the bound F. What is added is part of the objective but not
    of the terms: distortion, rate and bound stay those of the model. The posterior's parameters φ are no random
    variables of the model, and have no prior.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §5 (θ trained by MAP, with p(θ) = N(0, I)).

    Arguments:
        estimator: How the gradient of F is estimated.
        examples: Number N of training examples (`DataSpec.examples`).
        scale: Standard deviation of the prior, > 0.

    Raises:
        SettingError: if `scale` is not positive, or N is not known.

    Example:
        >>> import torch, elbox
        >>> recipe = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2)
        >>> MAP(recipe.estimator, examples=100)(recipe.model, torch.ones(3, 5), elbox.ELBO()).objective.shape
        torch.Size([3])
    """

    def __init__(self, estimator: Estimator, examples: int, scale: float = 1.0) -> None:
        super().__init__(estimator, examples)
        check_number("scale", scale, positive=True)
        self.scale = scale

    def _with_share(self, model: nn.Module, estimate: Estimate) -> Estimate:
        parts = [getattr(model, name, None) for name in ("prior", "likelihood")]
        theta = {id(p): p for module in parts if module is not None for p in module.parameters()}
        prior = Normal(0.0, self.scale, validate_args=False)
        share = sum((prior.log_prob(p).sum() for p in theta.values()), torch.zeros_like(estimate.loss)) / self.examples
        return Estimate(estimate.loss - share, estimate.objective + share, estimate.terms)


def _group(layers: list[BayesianLinear], estimate: Estimate, share: Tensor) -> Group:
    """The weights as a group of which only the rate is known: none were drawn, only what comes of them."""
    log_px = estimate.terms.log_px
    each = share.expand_as(log_px)
    q = [q for layer in layers for q in layer.posterior()]
    mean, spread = (torch.cat([t.flatten() for t in values]) for values in zip(*((d.mean, d.stddev) for d in q)))
    posterior = Normal(mean, spread, validate_args=False)
    prior = Normal(torch.zeros_like(mean), layers[0].scale, validate_args=False)
    return Group(log_px.new_zeros(*log_px.shape, 0), -each, torch.zeros_like(each), prior, posterior, each[0])
