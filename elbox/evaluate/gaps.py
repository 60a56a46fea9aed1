r"""Why the ELBO is below log p(x): the family of the posterior, or the encoder.

With q*_F the best member of a family F for one example, optimised for it alone, and q the encoder's posterior,

    log p(x) − ELBO(q) = [log p(x) − ELBO(q*_F)] + [ELBO(q*_F) − ELBO(q)],
    inference gap      =  approximation gap      +  amortisation gap.

A large approximation gap asks for a richer posterior, a large amortisation gap for a larger or longer trained encoder.

Reference: Cremer, Li & Duvenaud (2018), *Inference suboptimality in variational autoencoders*, table 1.
"""

from __future__ import annotations

__all__ = ["Gaps", "check_gaps", "gaps"]

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal

from elbox import distributions
from elbox.errors import SettingError, check_whole
from elbox.evaluate.annealed import Bracket, annealed, bracket
from elbox.evaluate.chunks import MEMORY, check_examples, plan, terms_in_chunks
from elbox.evaluate.joint import batches, check_real
from elbox.evaluate.local import FAMILIES, elbo_of, fitted, richest
from elbox.evaluate.psis import FEWEST, UNRELIABLE, pareto_smoothed
from elbox.evaluate.result import MeanSE
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.evaluate.weights import wide

FIT_SAMPLES = 8  # of the local posteriors, in each step


@dataclass(frozen=True)
class Gaps:
    r"""What separates the ELBO from log p(x); means over examples with standard errors, in nats.

    Arguments:
        n: Number of examples.
        samples: Number S of posterior samples for each.
        temperatures: Steps of annealed importance sampling.
        family: The family of the encoder's posterior, as far as it is one of the three: "diagonal", "full" or, for all
            others, "flow".
        log_likelihood: The reference: the higher of the next two, both of which are lower bounds in expectation.
        annealed: log p(x) by annealed importance sampling, from the prior.
        importance: log p(x) by importance sampling from the encoder's posterior.
        elbo: ELBO of the encoder's posterior.
        local: ELBO of the best posterior of each family for each example.
        inference: log_likelihood − elbo.
        approximation: log_likelihood − local, of each family.
        amortisation: local − elbo, of the encoder's family. Below 0 where the encoder's posterior is none of the three
            families and better than the flow.
        pareto_k: Median over examples of the Pareto shape k̂ of the importance weights.
        unreliable: Share of examples with k̂ > 0.7, whose importance-weighted estimate is not to be trusted.
        simulated_lower: Annealed lower bound on log p(x) of as many examples drawn from the model, with
        simulated_upper: the upper bound on the same, and
        simulated_width: what lies between: how far off the annealed estimate may be.
        acceptance: Rate of acceptance of the chains.
        per_example: The values of each example, [N]; not in the JSON.
    """

    n: int
    samples: int
    temperatures: int
    family: str
    log_likelihood: MeanSE
    annealed: MeanSE
    importance: MeanSE
    elbo: MeanSE
    local: dict[str, MeanSE]
    inference: MeanSE
    approximation: dict[str, MeanSE]
    amortisation: MeanSE
    pareto_k: float
    unreliable: float
    simulated_lower: MeanSE
    simulated_upper: MeanSE
    simulated_width: MeanSE
    acceptance: float
    per_example: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def rows(self) -> list[tuple[str, str, str]]:
        """(name, value, unit) of every number, as text, for a table."""
        named = [
            (f"log p(x), annealed, {self.temperatures} temperatures", self.annealed),
            (f"log p(x), {self.samples} samples", self.importance),
            ("ELBO of the encoder", self.elbo),
            *((f"ELBO of the best {_NAMES[f]} posterior", self.local[f]) for f in FAMILIES),
            ("inference gap", self.inference),
            *((f"approximation gap, {_NAMES[f]}", self.approximation[f]) for f in FAMILIES),
            (f"amortisation gap, {_NAMES[self.family]}", self.amortisation),
            ("drawn from the model: log p(x) ≥", self.simulated_lower),
            ("drawn from the model: log p(x) ≤", self.simulated_upper),
            ("drawn from the model: what lies between", self.simulated_width),
        ]
        rows = [(name, str(value), "nats") for name, value in named]
        rows.append(("Pareto k̂, median", f"{self.pareto_k:.2f}", ""))
        rows.append(("examples with k̂ > 0.7", f"{100 * self.unreliable:.0f}", "%"))
        return [*rows, ("examples", str(self.n), "")]

    def to_json(self) -> dict[str, Any]:
        """All but the values of each example, as plain JSON values; what is not finite is null."""
        values = asdict(self)
        del values["per_example"]
        return _plain(values)


_NAMES = {"diagonal": "diagonal", "full": "full-covariance", "flow": "flow"}


def gaps(
    model: Any,
    x: Examples,
    *,
    samples: int = 1000,
    temperatures: int = 200,
    chains: int = 16,
    steps: int = 300,
    seed: int = 0,
    memory: int = MEMORY,
    c: Tensor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Gaps:
    r"""Approximation and amortisation gap of a model, with Pareto k̂ and log p(x) between two bounds.

    For each example a diagonal, a full-covariance and a flow posterior are optimised, starting from the encoder's;
    log p(x) is taken from annealed importance sampling, or from importance sampling where that is higher, and a bracket
    of log p(x) on as many simulated examples says how far off it may be.

    It costs some thousand gradients of p(x, z) for each example: a hundred examples are enough to compare gaps of some
    tenths of a nat.

    Reference: Cremer, Li & Duvenaud (2018), *Inference suboptimality in variational autoencoders*, table 1;
    Vehtari et al. (2024), *Pareto smoothed importance sampling*; Wu et al. (2017), *On the quantitative analysis of
    decoder-based generative models*.

    Arguments:
        model: A VAE whose latent variables are real numbers, of any prior and posterior.
        x: Data [N, *event], of any type.
        samples: Posterior samples S for each example and each ELBO, at least 25.
        temperatures: Steps of annealed importance sampling.
        chains: Its chains for each example.
        steps: Steps of Adam for each family of local posteriors.
        seed: Seed of everything random.
        memory: Budget in bytes for the tensors of one chunk.
        c: Condition [N, ...], or None.
        progress: Called as `progress(done, total)`, where an example counts once for each of three stages.

    Raises:
        IncompatibleError: if the model has no density, random weights, or latent variables that are not real numbers.
        NonFiniteError: if an estimate is NaN or infinite.
        DataError: if there are no data, or they have values to which the likelihood gives no probability.
        SettingError: if a number is out of range.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> found = gaps(model, torch.ones(4, 5), samples=50, temperatures=10, steps=20)
        >>> found.family, sorted(found.approximation)
        ('diagonal', ['diagonal', 'flow', 'full'])
    """
    check_gaps(model, x, samples=samples, steps=steps, memory=memory, c=c)

    def stage(number: int) -> Callable[[int, int], None] | None:
        return progress and (lambda done, n: progress(number * n + done, 3 * n))

    options: dict[str, Any] = {"temperatures": temperatures, "chains": chains, "seed": seed, "memory": memory}
    values = _encoders(model, x, samples, seed, memory, c)
    family, local = _locals(model, x, samples, steps, seed, memory, c, stage(0))
    found = annealed(model, x, c=c, progress=stage(1), **options)
    values |= local | {"annealed": found.per_example}
    given = _conditions(model, x, c)
    between = bracket(model, len(x), c=given, progress=stage(2), **options)
    return _summary(values, between, family, samples, temperatures)


def check_gaps(
    model: Any, x: Examples, *, samples: int = 1000, steps: int = 300, memory: int = MEMORY, c: Tensor | None = None
) -> None:
    """Refuse what `gaps` would refuse, before anything is measured.

    Arguments: as `gaps`.
    """
    check_examples(x, samples, memory, c)
    check_whole("steps", steps)
    if samples < FEWEST:
        raise SettingError(f"got samples={samples}; expected at least {FEWEST}, to which a Pareto tail can be fitted")
    with torch.no_grad():
        check_real(model, "gaps", model.given(like_model(model, x[:1]), on_device(model, c, slice(0, 1))))


def _encoders(model: Any, x: Examples, samples: int, seed: int, memory: int, c: Tensor | None) -> dict[str, np.ndarray]:
    """ELBO, importance-weighted log p(x) and k̂ of the encoder's posterior, [N] each."""
    found = np.empty((3, len(x)))
    with measuring(model, seed):
        sizes = plan(model, x, samples, memory, c=c)
        for rows, chunks in terms_in_chunks(model, x, samples, sizes, c=c):
            log_w = torch.cat([wide(terms.log_w) for terms in chunks])
            _, shape = pareto_smoothed(log_w)
            found[:, rows] = torch.stack(
                [log_w.mean(0), torch.logsumexp(log_w, 0) - math.log(samples), shape]
            ).cpu().numpy()  # fmt: skip
    return dict(zip(("elbo", "importance", "pareto_k"), found, strict=True))


def _locals(
    model: Any, x: Examples, samples: int, steps: int, seed: int, memory: int, c: Tensor | None, progress: Any
) -> tuple[str, dict[str, np.ndarray]]:
    """The encoder's family, and the ELBO of the best member of each of the three."""
    found: dict[str, np.ndarray] = {family: np.empty(len(x)) for family in FAMILIES}
    with measuring(model, seed):
        for rows, joint in batches(model, x, FIT_SAMPLES, memory, c, richest):
            family = _family(joint.posterior())
            for name, local in fitted(joint, steps, FIT_SAMPLES, seed):
                found[name][rows] = elbo_of(local, joint, samples, 2 * FIT_SAMPLES).cpu().numpy()
            if progress:
                progress(rows.stop, len(x))
    return family, found


def _family(q: Any) -> str:
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return "diagonal"
    return "full" if isinstance(q, MultivariateNormal | distributions.MultivariateNormal) else "flow"


def _conditions(model: Any, x: Examples, c: Tensor | None) -> Tensor | None:
    """The condition of every example, also where the model computes it."""
    if c is None and getattr(model, "condition", None) is None:
        return None
    with measuring(model, 0):
        return model.given(like_model(model, x[:]), on_device(model, c, slice(0, len(x))))


def _summary(values: dict[str, np.ndarray], between: Bracket, family: str, samples: int, temperatures: int) -> Gaps:
    reference = max(("annealed", "importance"), key=lambda name: values[name].mean())
    log_px = values["log_likelihood"] = values[reference]
    return Gaps(
        n=len(log_px),
        samples=samples,
        temperatures=temperatures,
        family=family,
        **{name: MeanSE.of(values[name]) for name in ("log_likelihood", "annealed", "importance", "elbo")},
        local={f: MeanSE.of(values[f]) for f in FAMILIES},
        inference=MeanSE.of(log_px - values["elbo"]),
        approximation={f: MeanSE.of(log_px - values[f]) for f in FAMILIES},
        amortisation=MeanSE.of(values[family] - values["elbo"]),
        pareto_k=float(np.median(values["pareto_k"])),
        unreliable=float((values["pareto_k"] > UNRELIABLE).mean()),
        simulated_lower=between.lower,
        simulated_upper=between.upper,
        simulated_width=between.width,
        acceptance=between.acceptance,
        per_example=values,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(v) for name, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
