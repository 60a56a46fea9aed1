r"""REBAR and RELAX: the score function with a relaxed code as control variate.

With b = H(ζ), ζ ~ p(ζ; l) and ζ̃ ~ p(ζ | b; l), for any function c and logits l of q(z|x),

    ∇_l E[F(b)] = E[ (F(b) − c(ζ̃)) ∇_l log q(b) + ∇_l c(ζ) − ∇_l c(ζ̃) ].

Here ζ̃ is drawn with the noise for which it equals ζ, so that c is evaluated once, and what is left of its gradient is
c'(ζ) (∂ζ/∂l − ∂ζ̃/∂l): nothing of c's own parameters, and nothing of the model's.
"""

from __future__ import annotations

__all__ = ["REBAR", "RELAX"]

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from elbox import draws
from elbox.errors import IncompatibleError, check_number
from elbox.estimators.base import Estimate, Estimator
from elbox.estimators.codes import Encoded, for_codes
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Terms


class _Coupled:
    """Hard and relaxed codes of the same noise, from logits that are cut off from the encoder."""

    def __init__(self, temperature: Tensor) -> None:
        self.temperature, self.encoded = temperature, Encoded("RELAX")

    def hard(self, posterior: nn.Module, context: Any, samples: int) -> draws.Draw:
        q = self.encoded(posterior, context)
        self.attached, self.logits = q.scores, q.scores.detach().requires_grad_()
        self.q = q.at(self.logits)
        self.noisy = self.q.noisy((samples,))
        self.code = self.q.harden(self.noisy).detach()
        self.tilde = self.q.given(self.code, self.noisy)
        self.log_q = self.q.log_prob(self.code)
        self.free = self.log_q.detach().requires_grad_()  # F's own dependence on log q is found here
        return draws.Draw(self.code, self.free, q)

    def soft(self, posterior: nn.Module, context: Any, samples: int) -> draws.Draw:
        r"""Relaxed codes of ζ + λ²/(1 + λ) l: as λ grows these go to the mean (REBAR, §3.1), with ζ as a leaf."""
        q, temperature = self.q.at(self.logits.detach()), self.temperature
        self.leaf = self.noisy.detach().requires_grad_()
        z = q.soften(self.leaf + temperature.square() / (1 + temperature) * q.scores, temperature)
        return draws.Draw(z, q.log_prob(z), q)


class _Control(NamedTuple):
    """The control variate c of each sample, [K, B], and c'(ζ), [K, B, D]; both depend on its parameters."""

    value: Tensor
    slope: Tensor


@part
class RELAX(Estimator, nn.Module):
    r"""∇_l E[F(b)] ≈ (F(b) − c(ζ̃)) ∇_l log q(b) + ∇_l c(ζ) − ∇_l c(ζ̃), c(ζ) = η F(σ_λ(ζ)) + r(σ_λ(ζ), x) + C(x).

    Unbiased for any c. Scale η, temperature λ and the networks r and C are trained to minimise the variance of this
    gradient, by the gradient of its square, 2 g ∂g/∂φ, summed over logits and averaged over the batch. Their loss
    reaches nothing else. Without r it is REBAR. With K samples, b_k has F − F_{−k} in the place of F, and c alike.

    Reference: Grathwohl et al. (2018), *Backpropagation through the void*, eq. 6 and 8, §3.3; Tucker et al. (2017),
    *REBAR*, §3.1 (the relaxation) and §3.2 (the temperature).

    Arguments:
        surrogate: Network r, a pair of relaxed codes [K, B, D] and the input [K, B, F], flattened → [K, B, 1]; None
            for none.
        baseline: Network C of the posterior's input, [B, *event] → [B, 1]; None for none.
        temperature: λ at the start, > 0.
        scale: η at the start.

    Raises:
        SettingError: if the temperature is not positive.
        IncompatibleError: if the objective is not separable, or the posterior not over discrete codes.

    Example:
        >>> import elbox
        >>> from elbox.nn import MLP
        >>> model = elbox.VAE(elbox.priors.BernoulliPrior(3), elbox.likelihoods.Bernoulli(MLP(3, [], 5)),
        ...                   elbox.posteriors.BernoulliCode(MLP(5, [], 3), 3))
        >>> estimator = RELAX(MLP(3, [8], 1, nn.Tanh, context=5))
        >>> estimator(model, torch.ones(2, 5), elbox.ELBO()).objective.shape
        torch.Size([2])
    """

    def __init__(
        self,
        surrogate: nn.Module | None = None,
        baseline: nn.Module | None = None,
        temperature: float = 0.5,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        check_number("temperature", temperature, positive=True)
        self.surrogate, self.baseline = surrogate, baseline
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    @property
    def draw(self) -> draws.DrawFunction:
        return draws.score

    def check(self, objective: Objective) -> None:
        if not objective.separable:
            raise IncompatibleError(
                f"RELAX needs an objective of each example alone, and this {type(objective).__name__} is not; use "
                "Relaxed(), or RELAX() with ELBO()"
            )
        generative, inference = objective.pair
        if generative is not inference:
            raise IncompatibleError(
                f"RELAX trains all parameters by one objective, and {type(objective).__name__} has one for each "
                f"player; use {for_codes(objective)}, or RELAX() with ELBO()"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        raise NotImplementedError("RELAX draws twice, hard and relaxed: call it with a model")

    @torch.enable_grad()
    def once(self, model: nn.Module, x: Tensor, objective: Objective, c: Any, progress: Tensor | float) -> Estimate:
        coupled = _Coupled(self.log_temperature.exp())
        hard: Terms = model.terms(x, objective.samples, c=c, draw=coupled.hard)  # type: ignore[operator]
        _check_one_group(hard)
        value = objective(hard, progress)
        soft: Terms = model.terms(x, objective.samples, c=hard.c, draw=coupled.soft)  # type: ignore[operator]
        control = self._control(objective, soft, progress, coupled)
        gradient = _gradient(_signal(objective, hard, value, progress, coupled), control, coupled)
        steer = ((coupled.attached - coupled.attached.detach()) * gradient.detach()).sum() / len(x)
        own = self._own_loss(gradient.square().sum() / len(x))
        return Estimate(-(value.mean() + steer) + own, value, hard)

    def forward(self, *args: Any, **kwargs: Any) -> Estimate:  # torch.compile enters a module there
        return Estimator.__call__(self, *args, **kwargs)

    __call__ = forward

    def _control(self, objective: Objective, soft: Terms, progress: Tensor | float, coupled: _Coupled) -> _Control:
        x, c = soft.x, soft.c
        assert x is not None
        relaxed = self.scale * objective(soft, progress)  # η F, [B]
        extra, z = torch.zeros_like(soft.log_px), next(iter(soft.groups.values())).z
        if self.surrogate is not None:
            extra = self.surrogate((z, x.flatten(1).expand(len(z), -1, -1))).squeeze(-1)
        slope = torch.autograd.grad((relaxed.sum() + extra.sum()), coupled.leaf, create_graph=True)[0]
        value = extra + relaxed - self.scale * _others(objective, soft, progress)
        if self.baseline is not None:
            value = value + self.baseline(x if c is None else (x, c)).squeeze(-1)
        return _Control(value, slope)

    def _own_loss(self, variance: Tensor) -> Tensor:
        """0, with the gradient of `variance` for the parameters of this module and of nothing else."""
        own = [p for p in self.parameters() if p.requires_grad]
        if not own:
            return torch.zeros_like(variance)
        found = torch.autograd.grad(variance, own, allow_unused=True, materialize_grads=True)
        return torch.stack([((p - p.detach()) * g).sum() for p, g in zip(own, found, strict=True)]).sum()


def _others(objective: Objective, terms: Terms, progress: Tensor | float) -> Tensor:
    """F_{−k}, [K, B]; 0 for a single sample."""
    if len(terms.log_px) == 1:
        return torch.zeros_like(terms.log_px)
    return objective.leave_one_out(terms, progress)


def _signal(objective: Objective, hard: Terms, value: Tensor, progress: Tensor | float, coupled: _Coupled) -> Tensor:
    """What multiplies ∇ log q(b_k) without control variate, [K, B]: F − F_{−k} + ∂F/∂log q(b_k)."""
    direct = torch.autograd.grad(
        value.sum(), coupled.free, retain_graph=True, allow_unused=True, materialize_grads=True
    )[0]
    with torch.no_grad():
        return value - _others(objective, hard, progress) + direct


def _gradient(signal: Tensor, control: _Control, coupled: _Coupled) -> Tensor:
    """The estimate of ∇_l F for each example, [B, D], a function of the control variate's parameters."""
    score = ((signal - control.value) * coupled.log_q).sum()
    path = (control.slope * (coupled.noisy - coupled.tilde)).sum()
    return torch.autograd.grad(score + path, coupled.logits, create_graph=True)[0]


def _check_one_group(terms: Terms) -> None:
    if len(terms.groups) > 1:
        raise IncompatibleError(
            f"RELAX relaxes one group of latent variables, got {len(terms.groups)}; use Score() with samples=2 or more"
        )


def REBAR(  # noqa: N802 (the field's name for it)
    baseline: nn.Module | None = None, temperature: float = 0.5, scale: float = 1.0
) -> RELAX:
    r"""`RELAX` whose control variate is the relaxed objective alone, c(ζ) = η F(σ_λ(ζ)), and a baseline C(x).

    Reference: Tucker et al. (2017), *REBAR: low-variance, unbiased gradient estimates for discrete latent variable
    models*, §3.

    Arguments:
        baseline: Network C of the posterior's input, [B, *event] → [B, 1]; None for none.
        temperature: λ at the start, > 0.
        scale: η at the start.

    Example:
        >>> [name for name, _ in REBAR().named_parameters()]
        ['log_temperature', 'scale']
    """
    return RELAX(None, baseline, temperature, scale)
