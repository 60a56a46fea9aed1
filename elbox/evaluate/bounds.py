r"""Bounds on log p(x), measured: the same numbers for every chunk size, with the same seed on every run.

With z_s ~ q(z|x), s = 1 … S, and w_s = p(x, z_s) / q(z_s|x):

    distortion = −(1/S) Σ_s log p(x|z_s)          rate = KL(q(z|x) ‖ p(z))          elbo = −(distortion + rate)
    log_likelihood = log (1/S) Σ_s w_s            ess = (Σ_s w_s)² / Σ_s w_s²

The rate is the closed-form KL where torch knows one for the two distributions, else the mean over the S samples of
log q(z_s|x) − log p(z_s).
"""

from __future__ import annotations

__all__ = ["bounds", "evaluate", "held_out", "log_likelihood"]

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from elbox.errors import IncompatibleError, NonFiniteError
from elbox.evaluate.chunks import MEMORY, check_examples, plan, sums_in_chunks, terms_in_chunks
from elbox.evaluate.code_use import code_use, one_code
from elbox.evaluate.decomposition import decomposed
from elbox.evaluate.fast import fast
from elbox.evaluate.moments import Moments
from elbox.evaluate.result import ACTIVE, Evaluation, MeanSE
from elbox.evaluate.scope import Examples, like_model, measuring, on_device
from elbox.evaluate.weights import Sums, log_sums, partial_sums, wide
from elbox.objectives import Objective
from elbox.terms import Terms

Progress = Callable[[int, int], None]

PER_EXAMPLE = ("distortion", "rate", "elbo", "log_likelihood", "bits_per_dim", "ess")
CHECKED, COPIES = 4096, 4  # examples, at most, whose values are looked at together, and what looking at them takes


def evaluate(
    model: Any,
    x: Examples,
    *,
    samples: int = 1000,
    seed: int = 0,
    memory: int = MEMORY,
    precision: str = "auto",
    progress: Progress | None = None,
    c: Tensor | None = None,
) -> Evaluation:
    r"""ELBO, distortion, rate, importance-weighted log-likelihood and diagnostics of a model, in nats.

    All come from one pass over S samples of every example, in evaluation mode, without gradients; neither the model's
    mode nor the global random state is changed. The rate is the closed-form KL where there is one, else a mean over the
    samples: `Evaluation.closed_form` says which. An autoencoder has a distortion only, of its code.

    Where posterior and prior factorise over latent dimensions, the rate is also split into mutual information, total
    correlation and dimension-wise KL; this takes about a second more (see `elbox.evaluate.decomposition`).

    A quantised code (`QuantizedCode`) is one point for each example: one sample is taken, whatever S is, and the
    log-likelihood is the ELBO, log p(x|z) + log p(z): that lower bound on log p(x), exactly, and nothing tighter. How
    many of their codes such posteriors, and `CategoricalCode`, use is counted (see `elbox.evaluate.code_use`).

    Reference: Burda et al. (2016), *Importance weighted autoencoders*, eq. 8 and §5.2; Chen et al. (2018), *Isolating
    sources of disentanglement in variational autoencoders*, eq. 2.

    Arguments:
        model: A model with `terms`, such as a VAE.
        x: Data [N, *event], in natural units, of any type (bytes become floats chunk by chunk).
        samples: Posterior samples S for each example.
        seed: Seed of the samples.
        memory: Budget in bytes for the tensors of one chunk. It is fixed and not what the machine has free, because
            chunk sizes decide which random number goes where. Beside it only `Evaluation.per_example` grows with N, by
            8 bytes for each of its values.
        precision: Of the network's products: `"32"` (float32), `"bf16"`, or `"auto"`, which takes bfloat16 in a long
            evaluation on a CPU that gains from it, if it changes the mean log-likelihood of the first examples by at
            most 0.02 nat (see `elbox.evaluate.fast`). All sums are in float64.
        progress: Called as `progress(examples done, N)`.
        c: Condition [N, ...], or None.

    Raises:
        NonFiniteError: if a weight of the model, or a result, is NaN or infinite.
        ShapeError: if the data do not fit the model.
        SettingError: if there are no samples.
        DataError: if there are no data, or they have values to which the likelihood gives no probability.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> result = evaluate(model, torch.ones(3, 5), samples=10)
        >>> result.n, result.log_likelihood.mean > result.elbo.mean
        (3, True)
    """
    result = bounds(model, x, samples=samples, seed=seed, memory=memory, precision=precision, progress=progress, c=c)
    return code_use(decomposed(result, model, x, seed=seed, memory=memory, c=c), model, x, memory=memory, c=c)


def bounds(
    model: Any,
    x: Examples,
    *,
    samples: int = 1000,
    seed: int = 0,
    memory: int = MEMORY,
    precision: str = "auto",
    progress: Progress | None = None,
    c: Tensor | None = None,
) -> Evaluation:
    """What `evaluate` finds of each example alone: all but the terms of the rate, which need all examples together.

    Arguments: as `evaluate`.
    """
    coded = bool(getattr(model, "deterministic", False))  # an autoencoder: all samples are the same
    values: dict[str, np.ndarray] = {}
    moments: dict[str, Moments] = {}
    check_examples(x, samples, memory, c)
    with measuring(model, seed):
        samples = 1 if coded or one_code(model, x, c) else samples
        sizes = plan(model, x, samples, memory, c=c)
        _check_values(model, x, c, memory)
        how = fast(model, x, samples, sizes, partial_sums, "32" if coded else precision, c)
        for rows, chunks in sums_in_chunks(model, x, samples, sizes, partial_sums, c=c, full=how.full):
            batch = _batch(chunks, weighted=not coded)
            _check_finite(batch, model, x, rows)
            for name, value in batch.items():
                if name not in PER_EXAMPLE:
                    moments.setdefault(name, Moments()).add(value.numpy())
                    continue
                if name not in values:
                    values[name] = np.empty(len(x))
                values[name][rows] = value.numpy()
            if progress:
                progress(rows.stop, len(x))
    return replace(_summary(values, moments, math.prod(x.shape[1:]), samples, seed), precision=how.precision)


def log_likelihood(
    model: Any,
    x: Examples,
    samples: int = 1000,
    *,
    seed: int = 0,
    memory: int = MEMORY,
    precision: str = "auto",
    progress: Progress | None = None,
    c: Tensor | None = None,
) -> Tensor:
    r"""log (1/S) Σ_s p(x, z_s) / q(z_s|x) of each example: an estimate, and in expectation a lower bound, of log p(x).

    Reference: Burda et al. (2016), *Importance weighted autoencoders*, eq. 8.

    Arguments: as `evaluate`.

    Returns:
        [N] on the CPU in float64, nats.

    Raises:
        IncompatibleError: if the model is an autoencoder: it has no density.
        NonFiniteError, ShapeError, SettingError, DataError: as `evaluate`.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> log_likelihood(model, torch.ones(3, 5), samples=10).shape
        torch.Size([3])
    """
    if getattr(model, "deterministic", False):
        raise IncompatibleError(
            "got log_likelihood on an autoencoder, whose deterministic code has no density; train a VAE instead, e.g. "
            "the recipe vae"
        )
    check_examples(x, samples, memory, c)
    found = torch.empty(len(x), dtype=torch.float64)
    with measuring(model, seed):
        samples = 1 if one_code(model, x, c) else samples
        sizes = plan(model, x, samples, memory, c=c)
        _check_values(model, x, c, memory)
        how = fast(model, x, samples, sizes, log_sums, precision, c)
        for rows, chunks in sums_in_chunks(model, x, samples, sizes, log_sums, c=c, full=how.full):
            found[rows] = _summed(chunks).weights.log_mean().cpu()
            _check_finite({"log_likelihood": found[rows]}, model, x, rows)
            if progress:
                progress(rows.stop, len(x))
    return found


def held_out(
    model: Any, x: Examples, objective: Objective, *, seed: int = 0, memory: int = MEMORY, c: Tensor | None = None
) -> dict[str, float]:
    r"""The full-weight bound by which a model is selected, with ELBO, distortion and rate, from K samples an example.

    The same seed gives the same samples every time, so that successive evaluations differ by the model alone. The rate
    is the closed-form KL where there is one. A value that is not finite is returned as it is: training judges it.

    Arguments:
        model: A model with `terms`.
        x: Held-out data [N, *event].
        objective: What is trained; measured is `objective.bound()` with its K samples.
        seed: Seed of the samples.
        memory: Budget in bytes for the tensors of one chunk; all K samples of an example are in one chunk.
        c: Condition [N, ...], or None.

    Returns:
        Means over examples, nats: "bound", "distortion" and, but for autoencoders, "rate" and "elbo".

    Example:
        >>> import elbox
        >>> recipe = elbox.recipes.beta_vae(elbox.DataSpec((5,), "binary"), latent=2, beta=4.0)
        >>> values = held_out(recipe.model, torch.ones(3, 5), recipe.objective)
        >>> values["bound"] == values["elbo"] == -(values["distortion"] + values["rate"])
        True
    """
    bound = objective.bound()
    totals: dict[str, float] = {}
    with measuring(model, seed):
        sizes = plan(model, x, bound.samples, memory, c=c, whole=True)
        for _, chunks in terms_in_chunks(model, x, bound.samples, sizes, c=c):
            for name, value in _held_out(next(chunks), bound).items():
                totals[name] = totals.get(name, 0.0) + value
    means = {name: total / len(x) for name, total in totals.items()}
    if "rate" in means:
        means["elbo"] = -(means["distortion"] + means["rate"])
        if bound.uses_rate:  # then the bound is the ELBO; let it be so to the last bit
            means["bound"] = means["elbo"]
    return means


def _held_out(terms: Terms, bound: Objective) -> dict[str, float]:
    exact = terms.with_kl()
    values = {"bound": bound(exact), "distortion": exact.distortion}
    if all(group.has_rate for group in exact.groups.values()):
        values["rate"] = exact.rate
    return {name: float(wide(value).sum()) for name, value in values.items()}


def _summed(chunks: Iterable[tuple[int, dict[str, Tensor]]]) -> Sums:
    sums = Sums()
    for samples, values in chunks:
        sums.add(values, samples)
    return sums


def _batch(chunks: Iterable[tuple[int, dict[str, Tensor]]], *, weighted: bool) -> dict[str, Tensor]:
    """Everything of one batch of examples, each [B] or [B, D], on the CPU."""
    sums = _summed(chunks)
    found = {name: sums.mean(name) for name in sums.totals if name != "z²"}
    spread = sums.spread()
    if spread is not None:
        found["spread"] = spread
    if weighted:
        found["elbo"] = -(found["distortion"] + found["rate"])
        found |= {"log_likelihood": sums.weights.log_mean(), "ess": sums.weights.effective()}
    return {name: value.cpu().double() for name, value in found.items()}


def _summary(
    values: dict[str, np.ndarray], moments: dict[str, Moments], dims: int, samples: int, seed: int
) -> Evaluation:
    """The evaluation from the values of each example [N] and the moments over examples of all else."""
    if "log_likelihood" in values:
        values["bits_per_dim"] = -values["log_likelihood"] / (dims * math.log(2))
    per_example = {name: values[name] for name in PER_EXAMPLE if name in values}
    variance = _variance_of_means(moments)
    per_dimension = moments["rate_per_dimension"].mean if "rate_per_dimension" in moments else np.empty(0)
    return Evaluation(
        n=len(values["distortion"]),
        dims=dims,
        samples=samples,
        seed=seed,
        **{name: MeanSE.of(value) for name, value in per_example.items()},  # type: ignore[arg-type]
        rate_per_dimension=tuple(per_dimension.tolist()),
        mean_of_means=tuple(moments["z"].mean.tolist()) if len(variance) else (),
        variance_of_means=tuple(variance.tolist()),
        active_units=int((variance > ACTIVE).sum()) if len(variance) and "rate" in values else None,
        closed_form="closed_form" in moments and bool(moments["closed_form"].mean == 1),
        per_example=per_example,
    )


def _variance_of_means(moments: dict[str, Moments]) -> np.ndarray:
    """Var_x(E_q[z_d]), [D]. Means that were themselves estimated vary by the variance of their error too much."""
    if "spread" not in moments or moments["z"].count < 2:
        return np.empty(0)
    return np.maximum(moments["z"].variance - moments["spread"].mean, 0)


def _check_values(model: Any, x: Examples, c: Tensor | None, memory: int) -> None:
    """Refuse examples outside the likelihood's support: their log-densities would be numbers without meaning."""
    if not hasattr(model, "check"):
        return
    row = like_model(model, x[:1]).nbytes
    size = max(1, min(CHECKED, memory // (COPIES * row)))
    for start in range(0, len(x), size):
        model.check(like_model(model, x[start : start + size]), c=on_device(model, c, slice(0, 1)), first=start)


def _check_finite(found: dict[str, Tensor], model: Any, x: Examples, rows: slice) -> None:
    for name in ("distortion", "rate", "log_likelihood"):
        bad = torch.nonzero(~torch.isfinite(found.get(name, torch.zeros(1))))
        if len(bad):
            row = int(bad[0])
            got = f"a {name.replace('_', '-')} of {float(found[name][row])} nats for example {rows.start + row}"
            raise NonFiniteError(
                f"got {got}; expected finite numbers; {_reason(model, x[rows.start + row : rows.start + row + 1])}"
            )


def _reason(model: Any, example: Tensor) -> str:
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"the weights {name} are not finite: train again with a lower lr, or with clip=1"
    if not torch.isfinite(example.double()).all():
        return "the example holds NaN or infinite values: mend or drop it"
    return "the model gives the example no density: check that the data have the unit and kind that it was trained on"
