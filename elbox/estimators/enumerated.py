"""The exact expectation over all codes."""

from __future__ import annotations

__all__ = ["Enumerated"]

from contextlib import suppress
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.distributions import kl_divergence

from elbox import draws
from elbox.distributions import Code
from elbox.errors import IncompatibleError, check_whole
from elbox.estimators.base import Estimate, Estimator
from elbox.estimators.codes import Encoded, for_codes
from elbox.objectives import Objective
from elbox.parts import part
from elbox.terms import Group, Terms


@part
class Enumerated(Estimator):
    r"""E_q[log p(x|z)] = Σ_z q(z|x) log p(x|z) and KL(q ‖ p) = Σ_z q(z|x) log q(z|x)/p(z), over all codes z.

    Nothing is drawn, so the gradient has no variance. Groups of latent variables below the codes, such as z given the
    cluster in `elbox.models.GMVAE`, are drawn once for each code, reparameterised, with a KL in closed form where there
    is one. A batch of B examples costs N·B evaluations of the likelihood for
    N codes. Fits objectives that see the latent variables only through distortion and rate; `samples` is ignored.

    Reference: Titsias & Lázaro-Gredilla (2015), *Local expectation gradients for black box variational inference* (who
    enumerate one variable at a time).

    Arguments:
        limit: Largest number of codes N.

    Raises:
        SettingError: if the limit is no whole number ≥ 1.
        IncompatibleError: if the objective needs importance weights, there are too many codes, or two groups of them.

    Example:
        >>> import torch, elbox
        >>> from elbox.nn import MLP
        >>> model = elbox.VAE(elbox.priors.BernoulliPrior(3), elbox.likelihoods.Bernoulli(MLP(3, [], 5)),
        ...                   elbox.posteriors.BernoulliCode(MLP(5, [], 3), 3))
        >>> Enumerated()(model, torch.ones(2, 5), elbox.ELBO()).terms.log_px.shape
        torch.Size([1, 2])
    """

    def __init__(self, limit: int = 1024) -> None:
        check_whole("limit", limit)
        self.limit = limit

    @property
    def draw(self) -> draws.DrawFunction:
        encoded = Encoded("Enumerated")
        codes: list[Tensor] = []

        def every(posterior: nn.Module, context: Any, samples: int) -> draws.Draw:
            if codes and isinstance(context, tuple) and context[-1] is codes[-1]:  # a group below the codes
                return draws.reparameterized(posterior, context, 1)
            q = encoded(posterior, context)
            if q.size > self.limit:
                raise IncompatibleError(
                    f"Enumerated() sums over at most {self.limit} codes, got a {type(posterior).__name__} posterior "
                    f"with {q.size}; use Score() with samples=2 or more, or fewer latent variables"
                )
            z = q.codes()[:, None].expand(-1, *q.batch_shape, -1)
            codes.append(z)
            return draws.Draw(z, q.log_prob(z), q)

        return every

    def check(self, objective: Objective) -> None:
        if not objective.uses_rate or objective.sees_samples:
            kind = "looks at samples" if objective.sees_samples else "is one of importance weights"
            raise IncompatibleError(
                f"Enumerated needs an objective of distortion and rate, and {type(objective).__name__} {kind}; "
                f"use {for_codes(objective)}, or Enumerated() with ELBO()"
            )
        generative, inference = objective.pair
        if generative is not inference:
            raise IncompatibleError(
                f"Enumerated trains all parameters by one objective, and {type(objective).__name__} has one for each "
                f"player; use {for_codes(objective)}, or Enumerated() with ELBO()"
            )

    def estimate(self, objective: Objective, terms: Terms, progress: Tensor | float) -> Estimate:
        of_codes = [group for group in terms.groups.values() if isinstance(group.posterior, Code)]
        if len(of_codes) > 1:
            raise IncompatibleError(
                f"Enumerated sums over the codes of one group of latent variables, got {len(of_codes)}; use Score()"
            )
        weight = of_codes[0].log_qz.exp()  # q(z|x), [N, B]
        groups = {name: _expected(group, weight) for name, group in terms.groups.items()}
        exact = Terms(_mean(weight, terms.log_px), groups)
        value = objective(exact, progress)
        return Estimate(-value.mean(), value, exact)


def _expected(group: Group, weight: Tensor) -> Group:
    """The group with E_q[z] for z, and with the expectations of its log-probabilities."""
    log_pz, log_qz = _mean(weight, group.log_pz), _mean(weight, group.log_qz)
    z = (weight[..., None] * group.z).sum(0, keepdim=True)
    kl = (log_qz - log_pz)[0]
    if not isinstance(group.posterior, Code) and group.prior is not None:
        with suppress(NotImplementedError):
            kl = _mean(weight, kl_divergence(group.posterior, group.prior))[0]
    return replace(group, z=z, log_pz=log_pz, log_qz=log_qz, kl=kl)


def _mean(weight: Tensor, t: Tensor) -> Tensor:
    return (weight * t).sum(0, keepdim=True)
