r"""log p(x) without trust in the model's posterior: Hamiltonian Monte Carlo, for few latent dimensions."""

from __future__ import annotations

__all__ = ["Marginal", "marginal_likelihood"]

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from elbox.distributions.support import estimated, real
from elbox.errors import IncompatibleError, SettingError
from elbox.evaluate.chunks import MEMORY, bytes_written, rows_within
from elbox.evaluate.result import MeanSE
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.evaluate.weights import wide
from elbox.hmc import Chains, Field, adapted, field_of, hmc
from elbox.nn.bayesian import BayesianLinear

DIMENSIONS = 5  # Kingma & Welling (2014), appendix D, say fewer than 5: nothing fits a density to so few samples
STEP, RATE = 0.3, 0.1  # of the chains while they burn in
RIDGE = 1e-3  # share of each variance that is added to a fitted covariance, so that it is never singular


@dataclass(frozen=True)
class Marginal:
    """What `marginal_likelihood` found.

    Arguments:
        log_likelihood: Mean of the estimates of log p(x), with its standard error over examples, nats.
        acceptance: Mean rate of acceptance of the chains.
        samples: Posterior samples L for each of the two stages.
        per_example: The estimates of each example, [N].
    """

    log_likelihood: MeanSE
    acceptance: float
    samples: int
    per_example: np.ndarray = field(repr=False, compare=False)


def marginal_likelihood(
    model: Any,
    x: Examples,
    *,
    samples: int = 50,
    chains: int = 5,
    leapfrogs: int = 4,
    burn_in: int = 30,
    acceptance: float = 0.9,
    seed: int = 0,
    memory: int = MEMORY,
    c: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Marginal:
    r"""log p(x) ≈ −log (1/L) Σ_l q(z_l) / p(x, z_l) with z_l ~ p(z|x) by Hamiltonian Monte Carlo, and any density q.

    Two sets of chains burn in from draws of the model's posterior, each example with a step size of its own, and then
    give L samples each. To those of the first set a normal density q with a full covariance is fitted; those of the
    second enter the estimate.
    E[q(z) / p(x, z)] = 1 / p(x) for any q, so that its logarithm errs upwards in the mean, where `log_likelihood` errs
    downwards: true values lie between. It knows the encoder only as the chains' start, which is what makes models
    comparable whose encoders were trained in different ways, or not at all.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, appendix D (the estimator, for fewer than 5
    dimensions) and E (50 samples, 4 leapfrog steps).

    Arguments:
        model: A VAE with at most 5 latent dimensions.
        x: Data [N, *event].
        samples: L, at least two for each latent dimension.
        chains: Chains of each of the two sets, at most L.
        leapfrogs: Leapfrog steps of one transition.
        burn_in: Transitions of each chain before its first sample; the step size is adapted in the first half.
        acceptance: Rate of acceptance that the step sizes are adapted to.
        seed: Seed of the chains.
        memory: Budget in bytes for the tensors of one chunk.
        c: Condition [N, ...], or None.
        progress: Called as `progress(examples done, N)`.

    Raises:
        IncompatibleError: if the model has no density, random weights, or more latent dimensions.
        SettingError: if there are too few samples or chains.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> found = marginal_likelihood(model, torch.ones(3, 5), samples=20, burn_in=10)
        >>> found.per_example.shape, found.log_likelihood.mean < 0
        ((3,), True)
    """
    found: list[Tensor] = []
    rates: list[Tensor] = []
    with measuring(model, seed):
        first = like_model(model, x[:1])
        first_c = model.given(first, on_device(model, c, slice(0, 1)))
        _check(model, first, first_c, samples, chains)
        row = bytes_written(lambda: _log_joint(model, first, first_c)(_start(model, first, first_c, 1)))
        size = max(1, rows_within(memory, 3 * row, first.device) // (2 * chains))  # 3: the gradient's part
        for start in range(0, len(x), size):
            rows = slice(start, start + size)
            batch = like_model(model, x[rows])
            condition = model.given(batch, on_device(model, c, rows))
            z, log_joint = _start(model, batch, condition, 2 * chains), field_of(_log_joint(model, batch, condition))
            value, rate = _estimate(log_joint, z, math.ceil(samples / chains), leapfrogs, burn_in, acceptance)
            found.append(value.double().cpu())
            rates.append(rate.double().cpu())
            if progress:
                progress(min(start + size, len(x)), len(x))
    values = torch.cat(found).numpy()
    return Marginal(MeanSE.of(values), float(torch.cat(rates).mean()), samples, values)


def _check(model: Any, x: Tensor, c: Any, samples: int, chains: int) -> None:
    if getattr(model, "deterministic", False):
        raise IncompatibleError(
            "got marginal_likelihood on an autoencoder, which has no density; train a VAE, e.g. vae"
        )
    if any(isinstance(module, BayesianLinear) for module in model.modules()):
        raise IncompatibleError(
            "got marginal_likelihood on a model with random weights, whose p(x|z) is another each time; use "
            "log_likelihood, which integrates over them"
        )
    q = model.encode(x, c=c)
    if not real(model.prior(c)):
        raise IncompatibleError(
            "got marginal_likelihood on a model whose latent variables are codes or bounded; expected real numbers, on "
            "which a normal density can be fitted; use log_likelihood"
        )
    if estimated(model.prior(c)):
        raise IncompatibleError(
            "got marginal_likelihood on a model whose log p(z) is an estimate, another one in each call; use "
            "log_likelihood, which averages over it"
        )
    shape = tuple(q.event_shape)
    if len(shape) > 1 or shape[0] > DIMENSIONS:
        raise IncompatibleError(
            f"got marginal_likelihood on a model with latent variables of shape {shape}; expected at most {DIMENSIONS} "
            "dimensions, in which a density can be fitted to samples; use log_likelihood"
        )
    if samples < 2 * shape[0] or not 1 <= chains <= samples:
        raise SettingError(
            f"got samples={samples}, chains={chains}; expected two samples or more for each latent dimension, e.g. "
            "50, and at most as many chains"
        )


def _start(model: Any, x: Tensor, c: Any, chains: int) -> Tensor:
    return model.encode(x, c=c).sample(torch.Size([chains]))


def _log_joint(model: Any, x: Tensor, c: Any) -> Callable[[Tensor], Tensor]:
    """z [K, B, D] ↦ log p(x, z) [K, B]."""
    prior = model.prior(c)
    return lambda z: model.decode(z, c=c).log_prob(x) + prior.log_prob(z)


def _estimate(
    field: Field, z: Tensor, count: int, leapfrogs: int, burn_in: int, acceptance: float
) -> tuple[Tensor, Tensor]:
    """The estimates [B] and rates of acceptance [B], from chains that start at z [2C, B, D] and give `count` draws."""
    log_step = torch.full_like(z[:1, :, :1], math.log(STEP))
    chains: Tensor | Chains = z
    for _ in range(burn_in // 2):
        chains = hmc(field, chains, log_step.exp(), leapfrogs)
        log_step = adapted(log_step, chains.acceptance.mean(0)[None, :, None], acceptance, RATE)
    draws = [hmc(field, chains, log_step.exp(), leapfrogs, max(1, burn_in - burn_in // 2))]
    while len(draws) < count:
        draws.append(hmc(field, draws[-1], log_step.exp(), leapfrogs))
    first, second = torch.stack([d.z for d in draws], 1).chunk(2)  # [C, count, B, D]
    log_p = torch.stack([d.log_p for d in draws], 1).chunk(2)[1]
    ratio = _fitted(wide(first.flatten(0, 1))).log_prob(wide(second.flatten(0, 1))) - wide(log_p.flatten(0, 1))
    rate = torch.stack([d.acceptance for d in draws]).mean((0, 1))
    return math.log(len(ratio)) - torch.logsumexp(ratio, 0), rate


def _fitted(z: Tensor) -> MultivariateNormal:
    """The normal density with the mean and covariance of samples z [L, B, D] of each example, batch shape [B]."""
    centred = z - z.mean(0)
    covariance = torch.einsum("lbi,lbj->bij", centred, centred) / (len(z) - 1)
    ridge = torch.diag_embed(RIDGE * covariance.diagonal(dim1=-2, dim2=-1))
    return MultivariateNormal(z.mean(0), covariance + ridge, validate_args=False)
