r"""What the rate is made of: information about the example, dependence between latent dimensions, and their shapes.

With q(z) = (1/N) Σ_n q(z|x_n), the posterior aggregated over N examples,

    mean rate = I_q(n; z) + KL(q(z) ‖ Π_d q(z_d)) + Σ_d KL(q(z_d) ‖ p(z_d)),

the index–code mutual information, the total correlation and the dimension-wise KL, for posteriors and priors that
factorise over dimensions. The N examples *are* the data set here: no minibatch stands for it, so every logarithm is
that of a density and not of its estimate. Where posteriors hardly overlap, the information is log N and the total
correlation takes what the rate has beyond: both then say more of N than of other examples. Of M codes z_m ~ q(z|x_m)
the means are taken of

    log q(z_m|x_m) − log q(z_m),    log q(z_m) − Σ_d log q(z_md),    Σ_d log q(z_md) − log p(z_m).

Their sum r_m has a known mean, the mean rate, and is a control variate: each term is corrected by its regression on
r_m. The three slopes add up to 1, hence the three terms add up to the mean rate, exactly; a term that does not vary
with r, such as the total correlation 0 of one dimension, stays as it is. The regression's bias is of order 1/M, below
the standard error of order 1/√M.

Reference: Hoffman & Johnson (2016), *ELBO surgery*; Chen et al. (2018), *Isolating sources of disentanglement in
variational autoencoders*, eq. 2; Owen (2013), *Monte Carlo theory, methods and examples*, §8.9 (regression estimators).
"""

from __future__ import annotations

__all__ = ["decomposed"]

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from elbox.evaluate.chunks import MEMORY, bytes_written, rows_within
from elbox.evaluate.result import Evaluation, MeanSE
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.evaluate.weights import wide
from elbox.model import VAE

EXAMPLES = 10_000  # at most, over which the posterior is aggregated
CODES = 10_000  # at most, where there are fewer examples
DENSITIES = 2**27  # univariate log-densities, at most: about a second on one CPU core
BLOCK = 2**21  # of them at once: they stay in the cache


@dataclass(frozen=True)
class Codes:
    """Codes z [M, D], with log q(z|x) of their own examples and log p(z), [M] each."""

    z: Tensor
    log_qz: Tensor
    log_pz: Tensor


def decomposed(
    result: Evaluation, model: Any, x: Examples, *, seed: int = 0, memory: int = MEMORY, c: Tensor | None = None
) -> Evaluation:
    """The evaluation with the three terms of its rate, where posterior and prior factorise; else as it is.

    The posterior is aggregated over the first N ≤ 10 000 examples, and M is such that M·N·D ≤ 2²⁷: with 20 dimensions
    all of 2500 examples, 671 codes of 10 000.

    Arguments:
        result: What `evaluate` found for the same model and data.
        model: The model; only a VAE of one group of latent variables is looked at.
        x: Data [N, *event].
        seed: Seed of the codes.
        memory: Budget in bytes for the tensors of one chunk.
        c: Condition [N, ...], or None; the prior must not depend on it.
    """
    if not result.rate_per_dimension or not isinstance(model, VAE):
        return result
    rows = min(len(x), EXAMPLES)
    with measuring(model, seed):
        codes = _draw(model, x, c, rows, memory)
        if codes is None:
            return result
        joint, each = _aggregated(model, x, c, rows, memory, codes.z)
    found = _terms(codes, joint, each, float(result.per_example["rate"][:rows].mean()))
    return replace(result, **found, aggregated=rows, codes=len(joint))


def _posteriors(
    model: VAE, x: Examples, c: Tensor | None, rows: int, size: int
) -> Iterator[tuple[slice, Distribution]]:
    for start in range(0, rows, size):
        part = slice(start, min(start + size, rows))
        yield part, model.encode(like_model(model, x[part]), c=on_device(model, c, part))


def _encoded_together(model: VAE, x: Examples, c: Tensor | None, memory: int) -> int:
    """How many examples fit into the budget."""
    one = slice(0, 1)
    first, condition = like_model(model, x[one]), on_device(model, c, one)
    return rows_within(memory, bytes_written(lambda: model.encode(first, c=condition)), first.device)


def _draw(model: VAE, x: Examples, c: Tensor | None, rows: int, memory: int) -> Codes | None:
    """M codes of examples drawn without replacement, or as many of each; None where the parts do not factorise."""
    found, size = [], _encoded_together(model, x, c, memory)
    for part, q in _posteriors(model, x, c, rows, size):
        p = model.prior(on_device(model, c, part)) if model.prior is not None else None
        if not (_factorises(q) and p is not None and _factorises(p) and not p.batch_shape):
            return None
        budget = DENSITIES // (rows * math.prod(q.event_shape))
        z = q.sample(torch.Size([max(1, min(budget, CODES) // rows)]))
        found.append((z, wide(q.log_prob(z)), wide(p.log_prob(z))))
    z, log_qz, log_pz = (torch.cat(t, 1) for t in zip(*found, strict=True))
    chosen = torch.randperm(rows)[: max(2, budget)].to(z.device)
    return Codes(*(t[:, chosen].flatten(0, 1) for t in (z, log_qz, log_pz)))


def _aggregated(model: VAE, x: Examples, c: Tensor | None, rows: int, memory: int, z: Tensor) -> tuple[Tensor, Tensor]:
    """log q(z) [M] and log q(z_d) [M, D] of codes [M, D]: the means of all densities, without estimate."""
    size = min(_encoded_together(model, x, c, memory), max(1, BLOCK // z.numel()))
    joint, each = torch.full_like(wide(z[:, 0]), -torch.inf), torch.full_like(wide(z), -torch.inf)
    for _, q in _posteriors(model, x, c, rows, size):
        assert isinstance(q, Independent)
        log_q = q.base_dist.log_prob(z[:, None])  # [M, examples, D]
        joint = torch.logaddexp(joint, wide(torch.logsumexp(log_q.sum(-1), 1)))
        each = torch.logaddexp(each, wide(torch.logsumexp(log_q, 1)))
    return joint - math.log(rows), each - math.log(rows)


def _factorises(d: Distribution) -> bool:
    return isinstance(d, Independent) and d.reinterpreted_batch_ndims == 1 and not d.base_dist.event_shape


def _terms(codes: Codes, joint: Tensor, each: Tensor, rate: float) -> dict[str, Any]:
    marginals = each.sum(-1)
    values = {
        "mutual_information": codes.log_qz - joint,
        "total_correlation": joint - marginals,
        "dimension_kl": marginals - codes.log_pz,
    }
    total = (codes.log_qz - codes.log_pz).cpu().numpy()
    return {name: _controlled(value.cpu().numpy(), total, rate) for name, value in values.items()}


def _controlled(values: np.ndarray, total: np.ndarray, mean: float) -> MeanSE:
    """Mean of the values, regressed on another quantity whose mean is known (Owen, 2013, §8.9)."""
    noise = total - total.mean()
    slope = float(noise @ values) / max(float(noise @ noise), np.finfo(float).tiny)
    rest = values - values.mean() - slope * noise
    se = math.sqrt(float(rest @ rest) / (len(rest) * (len(rest) - 2))) if len(rest) > 2 else math.nan
    return MeanSE(float(values.mean() - slope * (total.mean() - mean)), se)
