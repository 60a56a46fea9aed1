"""What a gradient estimator is."""

from __future__ import annotations

__all__ = ["FITS_ALL", "Estimate", "Estimator", "trains_posterior"]

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from torch import Tensor, nn

from elbox.draws import Draw, DrawFunction, again, path, reparameterized
from elbox.errors import IncompatibleError
from elbox.objectives import Objective
from elbox.objectives.split import check_fits_model
from elbox.players import aside, frozen
from elbox.terms import Terms

FITS_ALL = "Reparameterized(), or StraightThrough() for discrete codes"  # what to use with any objective


class Estimate(NamedTuple):
    """A scalar loss to differentiate (nats), the objective of each example [B] (nats), and the terms behind them."""

    loss: Tensor
    objective: Tensor
    terms: Terms


class Estimator(ABC):
    r"""Estimates the gradient of the mean of an objective over a batch.

    Subclasses choose how posterior samples are drawn and what is differentiated. The contract, tested for every legal
    pair: `loss` equals −mean(objective), and E[∇ loss] = −∇ E[mean(objective)] for all parameters of the model, unless
    the estimator is declared biased. Where an estimator is a module with parameters of its own (baselines, control
    variates), their loss is part of `loss` with value 0, and reaches nothing else.

    Attributes:
        unbiased: Whether the gradient's expectation is that of the objective.
        bias: Of what kind its bias is, in words; empty if there is none.
        apart: Whether it trains model and posterior apart, whatever the objective is.
        robust: Whether it bears rounding of a network's outputs to bfloat16 (`Likelihood.robust`).
        own_draws: Whether draws with their own density are all that it needs of a posterior (`OwnDraws`).
    """

    unbiased: bool = True
    bias: str = ""
    robust: bool = True
    apart: bool = False
    own_draws: bool = False

    @property
    @abstractmethod
    def draw(self) -> DrawFunction:
        """How posterior samples are drawn and scored."""

    @abstractmethod
    def check(self, objective: Objective) -> None:
        """Refuse an objective for which this estimator would be biased.

        Raises:
            IncompatibleError: naming both, and a pair that works.
        """

    @abstractmethod
    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        """The loss for terms that were drawn by `draw`."""

    def logs(self) -> dict[str, Tensor]:
        """What is to be logged of the last call beside the terms: scalars by name."""
        return {}

    def __call__(
        self, model: nn.Module, x: Tensor, objective: Objective, *, c: Any = None, progress: Tensor | float = 1.0
    ) -> Estimate:
        """The loss of a batch.

        Arguments:
            model: A model with `terms(x, samples, c=..., draw=...)`.
            x: Batch [B, *event].
            objective: What to maximise.
            c: Condition [B, ...], or None.
            progress: Fraction of the run that is done, for the objective's schedules.

        Raises:
            IncompatibleError: if the objective or the posterior does not fit this estimator.
        """
        self.refuse(model, objective)
        generative, inference = objective.pair
        if generative is inference:
            return self.once(model, x, objective, c, progress)
        posterior: nn.Module = model.posterior  # type: ignore[assignment]
        with frozen(model, but=posterior):
            other = self.once(model, x, inference, c, progress)
        drawn = [Draw(group.z, group.log_qz, group.posterior) for group in other.terms.groups.values()]
        with frozen(posterior):
            terms: Terms = model.terms(x, generative.samples, c=c, draw=again(drawn))  # type: ignore[operator]
            own = self.estimate(generative, terms, progress)
        return own._replace(loss=own.loss + aside(other.loss))

    def once(self, model: nn.Module, x: Tensor, objective: Objective, c: Any, progress: Tensor | float) -> Estimate:
        """The loss of a batch where one objective trains all parameters that are not frozen."""
        terms: Terms = model.terms(x, objective.samples, c=c, draw=self.draw)  # type: ignore[operator]
        return self.estimate(objective, terms, progress)

    def refuse(self, model: nn.Module, objective: Objective) -> None:
        """Refuse an objective that does not fit this estimator or this model.

        Raises:
            IncompatibleError: naming both, and a pair that works.
        """
        check_fits_model(objective)
        posterior = getattr(model, "posterior", None)
        if getattr(posterior, "own_draws", False) and not self.own_draws:
            raise IncompatibleError(
                f"{type(self).__name__} needs a posterior whose density or rate is known, and "
                f"{type(posterior).__name__} knows the density of its own draws alone; use Reparameterized()"
            )
        if getattr(model, "deterministic", False):
            self._refuse_deterministic(objective)
        self._refuse_shared(model, objective)
        self._refuse_of_batch(model, objective)
        self.check(objective)

    @property
    def _differentiates_codes(self) -> bool:
        return self.draw in (reparameterized, path)

    def _refuse_deterministic(self, objective: Objective) -> None:
        """A code without a density has no score and no rate."""
        if not self._differentiates_codes:
            raise IncompatibleError(
                f"{type(self).__name__} needs log q(z|x), and a deterministic posterior has no density; use "
                "Reparameterized()"
            )
        if objective.needs_density:
            raise IncompatibleError(
                f"{type(objective).__name__} needs log q(z|x), and a deterministic posterior has no density; use "
                "Distortion(), or a DiagonalNormal posterior with a StandardNormal prior"
            )

    def _refuse_shared(self, model: nn.Module, objective: Objective) -> None:
        """Two players need parameters of their own."""
        generative, inference = objective.pair
        posterior = getattr(model, "posterior", nn.Module())
        inside = {id(m) for m in posterior.modules()}
        shared = bool({id(getattr(model, "prior", None)), id(getattr(model, "likelihood", None))} & inside)
        for who, apart in (
            (objective, generative is not inference and shared),
            (self, self.apart and getattr(posterior, "moves_model", False)),
        ):
            if apart:
                raise IncompatibleError(
                    f"{type(who).__name__} trains model and posterior apart, and {type(posterior).__name__} holds "
                    "parts of the model; use a DiagonalNormal posterior"
                )
        self._refuse_within_prior(model)

    def _refuse_within_prior(self, model: nn.Module) -> None:
        """A posterior that is part of the prior, as in a VampPrior, has no loss of its own to follow."""
        prior: Any = getattr(model, "prior", None)
        inside = {id(m) for m in prior.modules()} if isinstance(prior, nn.Module) else set()
        if self.apart and id(getattr(model, "posterior", None)) in inside:
            raise IncompatibleError(
                f"{type(self).__name__} trains model and posterior apart, and {type(prior).__name__} holds the "
                "posterior; use a StandardNormal prior, or Reparameterized()"
            )

    def _refuse_of_batch(self, model: nn.Module, objective: Objective) -> None:
        """A density that looks at all samples of the batch at once cannot be weighed or resampled one by one."""
        likelihood = getattr(model, "likelihood", None)
        together = self._differentiates_codes and (objective.uses_rate or not objective.needs_density)
        if getattr(likelihood, "of_batch", False) and not together:
            raise IncompatibleError(
                f"{type(likelihood).__name__} takes its variance from the whole batch, and {type(self).__name__} with "
                f"{type(objective).__name__} looks at samples one by one; use a Gaussian likelihood"
            )


def trains_posterior(terms: Terms) -> bool:
    """Whether log q(z|x) carries a gradient: not where `Split` trains the generative model, at samples held fixed."""
    return any(group.log_qz.requires_grad for group in terms.groups.values())
