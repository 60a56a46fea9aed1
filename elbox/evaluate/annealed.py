r"""log p(x) between two bounds, by annealed importance sampling and, on simulated data, its reverse.

Between a density that can be sampled, π₀, and p(x, z) lie T − 1 more on the geometric path

    log f_t(z) = (1 − β_t) log π₀(z) + β_t log p(x, z),      0 = β_0 < β_1 < … < β_T = 1.

A chain z_0 ~ π₀, z_t ~ K_t(·|z_{t−1}), with K_t a transition of Hamiltonian Monte Carlo that leaves f_t as it is, has
the weight

    log w = Σ_t (β_t − β_{t−1}) [log p(x, z_{t−1}) − log π₀(z_{t−1})],      E[w] = p(x),

so that log (1/C) Σ_c w_c of C chains is in expectation a lower bound on log p(x). The same chain backwards from an
exact draw of p(z|x) has E[1/w] = 1/p(x): −log (1/C) Σ_c 1/w_c is in expectation an upper bound. Exact draws there are
where x itself was drawn from the model: with (z, x) ~ p(z) p(x|z), z is a draw of p(z|x).

Step sizes are adapted to each example and temperature by chains of their own, which are thrown away: chains that adapt
while they are weighted would give no bound.

Reference: Neal (2001), *Annealed importance sampling*; Grosse, Ghahramani & Adams (2015), *Sandwiching the marginal
likelihood using bidirectional Monte Carlo*; Wu et al. (2017), *On the quantitative analysis of decoder-based generative
models* (for VAEs, with HMC).
"""

from __future__ import annotations

__all__ = ["Annealed", "Bracket", "annealed", "bracket"]

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from elbox.errors import IncompatibleError, NonFiniteError, check_whole
from elbox.evaluate.chunks import MEMORY, check_examples
from elbox.evaluate.joint import Joint, batches, check_real
from elbox.evaluate.result import MeanSE
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.evaluate.weights import wide
from elbox.hmc import Field, adapted, field_of, hmc

STEP, RATE = 0.1, 0.1  # the first step size, and how fast it is adapted
TUNED = 60  # temperatures at which step sizes are adapted; others take those of the nearest
ACCEPTANCE = 0.65  # about the best rate of Hamiltonian Monte Carlo (Neal, 2011, *MCMC using Hamiltonian dynamics*)
STEEP = 4.0  # β rises as a logistic function from −4 to 4: slowly near both ends


@dataclass(frozen=True)
class Annealed:
    """What `annealed` found.

    Arguments:
        log_likelihood: Mean of the lower bounds on log p(x), with its standard error over examples, nats.
        acceptance: Mean rate of acceptance of the chains.
        temperatures: Number T of steps from β = 0 to β = 1.
        chains: Number C of chains for each example.
        per_example: The bound of each example, [N].
    """

    log_likelihood: MeanSE
    acceptance: float
    temperatures: int
    chains: int
    per_example: np.ndarray = field(repr=False, compare=False)


@dataclass(frozen=True)
class Bracket:
    """What `bracket` found: log p(x) of simulated examples lies, in expectation, between `lower` and `upper`.

    Arguments:
        lower: Mean of the lower bounds, with its standard error over examples, nats.
        upper: Mean of the upper bounds, nats.
        width: upper − lower, example by example, nats: what annealing may be off by, on such examples.
        acceptance: Mean rate of acceptance of the chains, forward and backward.
        per_example: `"lower"` and `"upper"` of each example, [N].
    """

    lower: MeanSE
    upper: MeanSE
    width: MeanSE
    acceptance: float
    per_example: dict[str, np.ndarray] = field(repr=False, compare=False)


def annealed(
    model: Any,
    x: Examples,
    *,
    temperatures: int = 200,
    chains: int = 16,
    leapfrogs: int = 10,
    from_posterior: bool = False,
    seed: int = 0,
    memory: int = MEMORY,
    c: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Annealed:
    r"""A lower bound on log p(x) by annealed importance sampling, from the prior or from q(z|x).

    From the prior it knows nothing of the encoder, so that models are comparable whose encoders are good and bad. From
    q(z|x) it needs fewer temperatures where q is good, and fails as importance sampling does where q is too narrow.

    Reference: Wu et al. (2017), *On the quantitative analysis of decoder-based generative models*; Neal (2001),
    *Annealed importance sampling*.

    Arguments:
        model: A VAE whose latent variables are real numbers, of any prior.
        x: Data [N, *event], of any type.
        temperatures: T, the number of steps from π₀ to p(x, z); the bound rises with it.
        chains: Chains C for each example.
        leapfrogs: Leapfrog steps of a transition.
        from_posterior: Begin with π₀ = q(z|x) instead of p(z).
        seed: Seed of the chains.
        memory: Budget in bytes for the tensors of one chunk.
        c: Condition [N, ...], or None.
        progress: Called as `progress(examples done, N)`.

    Raises:
        IncompatibleError: if the model has no density, random weights, or latent variables that are not real numbers.
        NonFiniteError: if an estimate is NaN or infinite.
        SettingError: if a number is out of range.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> found = annealed(model, torch.ones(3, 5), temperatures=10, chains=4)
        >>> found.per_example.shape, found.log_likelihood.mean < 0
        ((3,), True)
    """
    check_examples(x, chains, memory, c)
    _check(model, "annealed", like_model(model, x[:1]), c, temperatures, chains, leapfrogs)
    bounds, rates = np.empty(len(x)), []
    with measuring(model, seed):
        for rows, joint in batches(model, x, chains, memory, c):
            path = _Path.of(joint, from_posterior)
            steps = path.tuned(chains, temperatures, leapfrogs)
            log_w, rate = path.forward(path.start(chains), steps, leapfrogs)
            bounds[rows] = (torch.logsumexp(log_w, 0) - math.log(chains)).cpu().numpy()
            rates.append(rate)
            if progress:
                progress(rows.stop, len(x))
    _check_finite(bounds)
    return Annealed(MeanSE.of(bounds), float(np.mean(rates)), temperatures, chains, bounds)


def bracket(
    model: Any,
    n: int = 100,
    *,
    temperatures: int = 200,
    chains: int = 16,
    leapfrogs: int = 10,
    from_posterior: bool = False,
    seed: int = 0,
    memory: int = MEMORY,
    c: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Bracket:
    r"""Bidirectional Monte Carlo: a lower and an upper bound on log p(x) of examples drawn from the model itself.

    Their distance bounds, in expectation, what `annealed` is off by with the same settings on such examples; on real
    ones it is a hint, the better the more the model's samples are like the data.

    Reference: Grosse, Ghahramani & Adams (2015), *Sandwiching the marginal likelihood using bidirectional Monte Carlo*;
    Wu et al. (2017), *On the quantitative analysis of decoder-based generative models*.

    Arguments:
        model: A VAE whose latent variables are real numbers, of any prior.
        n: Number of examples that are drawn; with a condition, its number of rows.
        temperatures, chains, leapfrogs, from_posterior, seed, memory, progress: As `annealed`.
        c: Condition [n, ...], or None; a model whose condition is a function of the data needs one.

    Raises:
        IncompatibleError: as `annealed`, or if the model needs a condition.
        NonFiniteError, SettingError: as `annealed`.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> found = bracket(model, 50, temperatures=20)
        >>> found.upper.mean > found.lower.mean - 3 * found.width.se
        True
    """
    check_whole("n", n)
    if c is None and model.condition is not None:
        raise IncompatibleError(
            f"got bracket on a model with the condition {type(model.condition).__name__}, without which no example can "
            "be drawn; give c, such as that of the data: c=model.given(x)"
        )
    _check(model, "bracket", None, c, temperatures, chains, leapfrogs)
    found, rates = np.empty((2, n)), []
    with measuring(model, seed):
        z, x = _simulated(model, n, c)
        for rows, joint in batches(model, x, chains, memory, c):
            path = _Path.of(joint, from_posterior)
            steps = path.tuned(chains, temperatures, leapfrogs)
            up, rate = path.forward(path.start(chains), steps, leapfrogs)
            down, other = path.backward(z[rows].expand(chains, -1, -1), steps, leapfrogs)
            found[0, rows] = (torch.logsumexp(up, 0) - math.log(chains)).cpu().numpy()
            found[1, rows] = (math.log(chains) - torch.logsumexp(-down, 0)).cpu().numpy()
            rates += [rate, other]
            if progress:
                progress(rows.stop, n)
    _check_finite(found)
    lower, upper = found
    return Bracket(
        MeanSE.of(lower), MeanSE.of(upper), MeanSE.of(upper - lower), float(np.mean(rates)),
        {"lower": lower, "upper": upper},
    )  # fmt: skip


@dataclass(frozen=True)
class _Path:
    """The geometric path of a batch: π₀, as a distribution and its log-density, and log p(x, z) − log π₀(z)."""

    start: Callable[[int], Tensor]
    log_base: Callable[[Tensor], Tensor]
    ratio: Callable[[Tensor], Tensor]

    @classmethod
    def of(cls, joint: Joint, from_posterior: bool) -> _Path:
        if not from_posterior:
            return cls(joint.draws, joint.prior.log_prob, joint.log_px)
        q = joint.posterior()
        return cls(lambda k: q.sample(torch.Size([k])), _density(q), lambda z: joint(z) - q.log_prob(z))

    def field(self, beta: float) -> Field:
        return field_of(lambda z: self.log_base(z) + beta * self.ratio(z))

    def tuned(self, chains: int, temperatures: int, leapfrogs: int) -> list[Tensor]:
        """Step sizes [1, B, 1] for each t = 0 … T, from chains that are thrown away."""
        z = self.start(chains)
        log_step, found = torch.full_like(z[:1, :, :1], math.log(STEP)), []
        for beta in _ladder(TUNED):
            moved = hmc(self.field(beta), z, log_step.exp(), leapfrogs)
            log_step = adapted(log_step, moved.acceptance.mean(0)[None, :, None], ACCEPTANCE, RATE)
            z = moved.z
            found.append(log_step.exp())
        return [found[round(t * TUNED / temperatures)] for t in range(temperatures + 1)]

    def forward(self, z: Tensor, steps: list[Tensor], leapfrogs: int) -> tuple[Tensor, float]:
        """Log-weights [C, B] of chains that start at draws of π₀, and their rate of acceptance."""
        betas = _ladder(len(steps) - 1)
        return self._weighted(z, list(zip(betas[:-1], betas[1:], steps[1:], betas[1:], strict=True)), leapfrogs)

    def backward(self, z: Tensor, steps: list[Tensor], leapfrogs: int) -> tuple[Tensor, float]:
        """Log-weights [C, B] of the reverse chains, which start at draws of p(z|x)."""
        betas = _ladder(len(steps) - 1)
        stages = list(zip(betas[:-1], betas[1:], steps[:-1], betas[:-1], strict=True))
        return self._weighted(z, stages[::-1], leapfrogs)

    def _weighted(
        self, z: Tensor, stages: list[tuple[float, float, Tensor, float]], leapfrogs: int
    ) -> tuple[Tensor, float]:
        """Stages (β_{t−1}, β_t, step size, β of the transition behind the weight); the last needs no transition."""
        log_w, rates = torch.zeros_like(wide(z[..., 0])), []
        for i, (before, after, step, beta) in enumerate(stages, 1):
            log_w = log_w + (after - before) * wide(self.ratio(z))
            if i < len(stages):
                moved = hmc(self.field(beta), z, step, leapfrogs)
                z = moved.z
                rates.append(float(moved.acceptance.mean()))
        return log_w, float(np.mean(rates)) if rates else 1.0


def _ladder(temperatures: int) -> list[float]:
    """β_0 = 0 … β_T = 1."""
    rise = torch.sigmoid(torch.linspace(-STEEP, STEEP, temperatures + 1, dtype=torch.float64))
    return ((rise - rise[0]) / (rise[-1] - rise[0])).tolist()


def _density(q: Distribution) -> Callable[[Tensor], Tensor]:
    try:
        q.log_prob(q.sample(torch.Size([1])))
    except NotImplementedError as error:
        raise IncompatibleError(
            f"got from_posterior=True with a {type(q).__name__} posterior, which gives no density at given z; leave it "
            "out to begin with the prior"
        ) from error
    return q.log_prob


def _simulated(model: Any, n: int, c: Tensor | None) -> tuple[Tensor, Tensor]:
    """Codes [n, D] and examples [n, *event] drawn from the model."""
    given = on_device(model, c, slice(0, n))
    if given is not None and len(given) != n:
        raise IncompatibleError(f"got a condition of {len(given)} rows for n={n} examples; expected one for each")
    p = model.prior(given)
    z = p.sample(torch.Size([] if p.batch_shape else [n]))
    parts = [slice(i, i + 256) for i in range(0, n, 256)]
    x = [model.decode(z[rows], c=None if given is None else given[rows]).sample() for rows in parts]
    return z, torch.cat(x)


def _check(
    model: Any, who: str, x: Tensor | None, c: Tensor | None, temperatures: int, chains: int, leapfrogs: int
) -> None:
    for name, value in (("temperatures", temperatures), ("chains", chains), ("leapfrogs", leapfrogs)):
        check_whole(name, value)
    first = on_device(model, c, slice(0, 1))
    with torch.no_grad():
        check_real(model, who, first if x is None else model.given(x, first))


def _check_finite(bounds: np.ndarray) -> None:
    bad = np.argwhere(~np.isfinite(bounds))
    if len(bad):
        raise NonFiniteError(
            f"got an annealed bound of {bounds[tuple(bad[0])]} nats for example {bad[0][-1]}; expected finite numbers; "
            "check the data and the weights with evaluate, which names what is not finite"
        )
