"""Checks of p(x|z): of another kind than the data, pinned to a floor, or surer than it should be."""

from __future__ import annotations

__all__ = ["floor", "kind", "saturated", "spread"]

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from elbox.distributions.support import family
from elbox.doctor.finding import Finding
from elbox.doctor.patient import Patient
from elbox.evaluate.scope import measuring
from elbox.likelihoods.base import DEFAULTS, Likelihood

SMALL, PINNED = 1e-3, 0.01  # of the data's spread; share of the values
RARE, OFTEN = 2e-4, 1e-3  # probability of a value times L, and how often values of so little occur
WIDER, NARROWER = 2.0, 0.5  # mean squared residual over its variance


def kind(p: Patient) -> Iterator[Finding]:
    """A density of real numbers for data that are whole numbers."""
    part, spec = p.model.likelihood, p.run.spec  # type: ignore[union-attr]
    if isinstance(part, Likelihood) and part.density and spec.is_discrete:
        whole = float((p.seen.x == p.seen.x.round()).double().mean())
        measured = f"{100 * whole:.0f} % of the values are whole numbers ({spec.kind}), {type(part).__name__} a density"
        advice = f"take likelihood={DEFAULTS[spec.kind]}, which gives probabilities"
        yield Finding("kind", "the likelihood is of another kind than the data", measured, whole, advice)


def floor(p: Patient) -> Iterator[Finding]:
    """A density whose scale runs to its floor: the bound grows without end where a value can be predicted exactly."""
    scale = getattr(family(p.seen.px), "scale", None)
    if not getattr(p.model.likelihood, "density", False) or not isinstance(scale, Tensor):
        return
    spec = p.run.spec  # type: ignore[union-attr]
    unit = torch.tensor(spec.scale, dtype=torch.float64)
    unit = unit.reshape(spec.event_shape) if unit.dim() else unit
    ratio = scale.double().cpu() / unit
    share = float((ratio < SMALL).double().mean())
    if share > PINNED:
        measured = (
            f"{100 * share:.0f} % of all σ are below a thousandth of the data's spread, the least {ratio.min():.1g}"
        )
        advice = "take likelihood=Gaussian (one σ for all), drop constant dimensions, or a likelihood of levels"
        yield Finding("floor", "the likelihood's variance is pinned to its floor", measured, share, advice)


def spread(p: Patient) -> Iterator[Finding]:
    """Residuals much wider or narrower than p(x|z) says."""
    px, name = p.seen.px, type(p.model.likelihood).__name__
    spec = p.run.spec  # type: ignore[union-attr]
    if p.encoderless:
        return
    try:
        mean, variance = px.mean, px.variance
    except (NotImplementedError, AttributeError):
        return
    if not (getattr(p.model.likelihood, "density", False) or spec.kind == "count") or mean.shape[1:] != p.seen.x.shape:
        return
    ratio = float(((p.seen.x - mean).double().square() / variance.double()).mean())
    if math.isfinite(ratio) and not NARROWER < ratio < WIDER:
        measured = f"held-out squared residuals are {ratio:.3g} × the variance of {name}"
        yield Finding("spread", "the likelihood does not match the data's spread", measured, ratio, _other(p, ratio))


def _other(p: Patient, ratio: float) -> str:
    """A likelihood whose spread may fit."""
    if p.run is not None and p.run.spec.kind == "count":
        return "take likelihood=NegativeBinomial, which has a dispersion (the recipe count_vae)"
    if any(name.endswith("sigma") for name, _ in p.model.likelihood.named_parameters()):
        return "train longer, so that its variance gets there" + (", or stop overfitting first" if ratio > 1 else "")
    return "take likelihood=Gaussian, which learns its variance"


def saturated(p: Patient) -> Iterator[Finding]:
    """Probabilities near 0 for values that do occur: of L levels, those below 1/5000 L should occur in 1 of 5000."""
    spec = p.run.spec  # type: ignore[union-attr]
    if p.encoderless or spec.kind not in ("binary", "levels") or getattr(p.model.likelihood, "density", False):
        return
    with measuring(p.model, p.seed):
        log_p = _of_values(p.seen.px, p.seen.x)
    if log_p is None:
        return
    below = RARE / max(2, spec.levels)
    rare = log_p < math.log(below)
    share = float(rare.double().mean())
    if share > OFTEN:
        loss = -float(log_p[rare].sum()) / len(p.seen.x)
        said = f"{100 * share:.2g} % of the values had a probability below {below:.0e}"
        measured = f"{said}, which costs {loss:.3g} nats an example"
        advice = "stop earlier (--patience 5), lower lr, or take a smaller decoder"
        yield Finding("saturated", "the likelihood is too sure, its logits saturated", measured, share, advice)


def _of_values(px: Distribution, x: Tensor) -> Tensor | None:
    """log p(x_d|z) of each value; None where it is not a product over them."""
    if isinstance(px, Independent) and px.base_dist.batch_shape[1:] == x.shape:
        return px.base_dist.log_prob(x).double()
    return None
