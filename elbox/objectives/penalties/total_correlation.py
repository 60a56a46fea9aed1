"""Total correlation of the aggregated posterior, estimated from a batch: β-TCVAE."""

from __future__ import annotations

__all__ = ["TotalCorrelation"]

import torch
from torch import Tensor

from elbox.objectives.penalized import Penalty
from elbox.objectives.penalties.aggregated import check_estimate, log_marginals
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Terms


@part
class TotalCorrelation(Penalty):
    r"""TC = KL(q(z) ‖ Π_d q(z_d)) = E_q(z)[ log q(z) − Σ_d log q(z_d) ], nats: how far latent dimensions depend on each
    other over the data.

    log q(z) and log q(z_d) of a batch's codes are the minibatch estimates of `elbox.objectives.penalties.aggregated`.
    β-TCVAE is the ELBO with weight β − 1. Of several groups of latent variables the sum is taken.

    Both logarithms are biased, that of the joint density more than those of the marginals, so the value is too small
    for batches that are small against N: report the total correlation that `elbox.evaluate` finds instead.

    Reference: Chen et al. (2018), *Isolating sources of disentanglement in variational autoencoders*, eq. 2–4 and
    appendix C.

    Arguments:
        weight: β − 1 ≥ 0, a number or a `Schedule`.
        examples: Number N of training examples (`DataSpec.examples`).
        stratified: Stratified weights; else the paper's weighted ones.

    Raises:
        SettingError: if N is not known, or smaller than a batch.
        IncompatibleError: if the posterior is deterministic or does not factorise.
        ShapeError: for a batch of one example.

    Example:
        >>> import elbox
        >>> from elbox.objectives import Penalized
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> TotalCorrelation(5.0, examples=100)(model.terms(torch.ones(3, 5), samples=4)).shape
        torch.Size([3])
    """

    def __init__(self, weight: float | Schedule, examples: int, *, stratified: bool = True) -> None:
        check_estimate(type(self).__name__, examples)
        self.weight, self.examples, self.stratified = weight, examples, stratified

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        found = torch.zeros_like(terms.log_px)
        for group in terms.groups.values():
            joint, each = log_marginals(type(self).__name__, group, self.examples, stratified=self.stratified)
            found = found + joint - each.sum(-1)
        return found.mean(0)
