"""Mutual information of examples and codes, to be kept high."""

from __future__ import annotations

__all__ = ["MutualInformation"]

import torch
from torch import Tensor

from elbox.objectives.penalized import Penalty
from elbox.objectives.penalties.aggregated import check_estimate, log_aggregated
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Terms


@part
class MutualInformation(Penalty):
    r"""−I_q(n; z) with I_q(n; z) = E[ log q(z|x_n) − log q(z) ] ≤ log N, nats: subtracted from an objective, it is
    maximised.

    The rate is I_q(n; z) + KL(q(z) ‖ p(z)), so that the ELBO with weight α is that with only 1 − α of the rate's share
    of information: a remedy for codes that a strong decoder ignores. log q(z) is the minibatch estimate of
    `elbox.objectives.penalties.aggregated`, which makes the information too large, more so for small batches (the
    weighted estimate by log N at most). Of several groups of latent variables the sum is taken.

    Reference: Hoffman & Johnson (2016), *ELBO surgery*; Zhao, Song & Ermon (2019), *InfoVAE*; Chen et al.
    (2018), *Isolating sources of disentanglement in variational autoencoders*, eq. 2.

    Arguments:
        weight: α ≥ 0, a number or a `Schedule`.
        examples: Number N of training examples (`DataSpec.examples`).
        stratified: Stratified weights; else the weighted ones of Chen et al.

    Raises:
        SettingError: if N is not known, or smaller than a batch.
        IncompatibleError: if the posterior is deterministic.
        ShapeError: for a batch of one example.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> MutualInformation(1.0, examples=100)(model.terms(torch.ones(3, 5), samples=4)).shape
        torch.Size([3])
    """

    def __init__(self, weight: float | Schedule, examples: int, *, stratified: bool = True) -> None:
        check_estimate(type(self).__name__, examples)
        self.weight, self.examples, self.stratified = weight, examples, stratified

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        found = torch.zeros_like(terms.log_px)
        for group in terms.groups.values():
            joint = log_aggregated(type(self).__name__, group, self.examples, stratified=self.stratified)
            found = found + joint - group.log_qz
        return found.mean(0)
