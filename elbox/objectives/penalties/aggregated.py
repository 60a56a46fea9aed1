r"""The aggregated posterior q(z) = (1/N) Σ_n q(z|x_n) of N training examples, estimated from a batch of B of them.

A code z_i of example x_i is scored under the posteriors of all examples of its batch,

    q̂(z_i) = Σ_j w_ij q(z_i|x_j),

with one of two choices of weights:

- *stratified*: w_ii = 1/N and w_ij = (N − 1) / (N (B − 1)) for j ≠ i. As x_i is one of the N examples and the others
  are drawn from the remaining N − 1, E q̂(z_i) = q(z_i); with B = N it is q(z_i) itself. (In the paper one of the B − 1
  others weighs less and the rest more; these weights are the mean over which one, so they vary less.)
- *weighted*: w_ij = 1/(NB), whose mean logarithm is a lower bound on that of q(z). It is off by a factor near N, which
  drops out of gradients but not of values.

In both cases log q̂ is too small on average (Jensen), the more so the less the posteriors overlap.

Reference: Chen et al. (2018), *Isolating sources of disentanglement in variational autoencoders*, §3 (weighted, eq. 3)
and appendix C.2 (stratified).
"""

from __future__ import annotations

__all__ = ["check_estimate", "log_aggregated", "log_marginals", "log_weights", "needs_pairs"]

import math

import torch
from torch import Tensor
from torch.distributions import Independent

from elbox.distributions import Delta, OwnDraws
from elbox.distributions.support import discrete
from elbox.errors import IncompatibleError, SettingError, ShapeError
from elbox.terms import Group


def check_estimate(name: str, examples: int) -> None:
    """Refuse a number of training examples that is not known."""
    if not isinstance(examples, int) or examples < 2:
        raise SettingError(
            f"got examples={examples} for {name}; expected the number N ≥ 2 of training examples: make the recipe with "
            "data.spec, which has it, or give examples=N"
        )


def needs_pairs(name: str, group: Group) -> None:
    """Refuse batches of one example: nothing can be said of a distribution over examples from one."""
    if group.z.shape[1] < 2:
        raise ShapeError(f"got a batch of 1 example for {name}; expected at least 2: choose a larger batch_size")


def log_weights(z: Tensor, examples: int, *, stratified: bool) -> Tensor:
    """log w_ij [B, B] for codes z [K, B, D], as the head of this file says.

    Raises:
        SettingError: if the batch is larger than the number of training examples.
    """
    batch = z.shape[1]
    if batch > examples:
        raise SettingError(
            f"got a batch of {batch} examples with examples={examples}; expected the number N of all training examples"
        )
    own, other = 1 / (examples * batch), 1 / (examples * batch)
    if stratified:
        own, other = 1 / examples, (examples - 1) / (examples * (batch - 1))
    eye = torch.eye(batch, dtype=z.dtype, device=z.device)
    return eye * math.log(own) + (1 - eye) * math.log(other)


def log_aggregated(name: str, group: Group, examples: int, *, stratified: bool) -> Tensor:
    """log q̂(z) [K, B] of the codes of one group of latent variables, nats.

    Arguments:
        name: Of the penalty, for messages.
        group: The group; its posterior needs a density, but need not factorise.
        examples: N.
        stratified: Which weights.

    Raises:
        IncompatibleError: if the posterior is deterministic.
    """
    _check(name, group)
    log_q = group.posterior.log_prob(_against_all(group.z))  # [B, K, B]
    return _mix(log_q, log_weights(group.z, examples, stratified=stratified)[:, None])


def log_marginals(name: str, group: Group, examples: int, *, stratified: bool) -> tuple[Tensor, Tensor]:
    """log q̂(z) [K, B] and log q̂(z_d) [K, B, D] of the codes of a group whose posterior factorises, nats.

    Arguments: as `log_aggregated`.

    Raises:
        IncompatibleError: if the posterior does not factorise over dimensions.
    """
    _check(name, group)
    q = group.posterior
    if not (isinstance(q, Independent) and q.reinterpreted_batch_ndims == 1 and not q.base_dist.event_shape):
        way_out = (
            "BernoulliCode posterior with a BernoulliPrior"
            if discrete(q)
            else "DiagonalNormal posterior with a StandardNormal prior"
        )
        raise IncompatibleError(
            f"{name} needs a posterior that factorises over latent dimensions, got {type(q).__name__}; use a {way_out}"
        )
    log_q = q.base_dist.log_prob(_against_all(group.z))  # [B, K, B, D]
    log_w = log_weights(group.z, examples, stratified=stratified)[:, None]
    return _mix(log_q.sum(-1), log_w), _mix(log_q, log_w[..., None])


def _against_all(z: Tensor) -> Tensor:
    """Codes [B, K, B, D], each against the B posteriors of the batch."""
    return z.transpose(0, 1).unsqueeze(2).expand(-1, -1, z.shape[1], -1)


def _mix(log_q: Tensor, log_w: Tensor) -> Tensor:
    """log Σ_j w_ij q_ikj for q [B, K, B, ...] → [K, B, ...]."""
    return torch.logsumexp(log_w + log_q, 2).transpose(0, 1)


def _check(name: str, group: Group) -> None:
    needs_pairs(name, group)
    if isinstance(group.posterior, Delta | OwnDraws):
        has = "has none" if isinstance(group.posterior, Delta) else "knows that of its own draws alone"
        who = getattr(group.posterior, "who", "a deterministic posterior")
        raise IncompatibleError(
            f"{name} needs the density q(z|x), and {who} {has}; use MMD() or SlicedWasserstein(), or a DiagonalNormal "
            "posterior"
        )
