"""Checks of the latent variables: what they are used for, what they cost, and how far the posterior is from right."""

from __future__ import annotations

__all__ = ["codebook", "collapsed", "groups", "inference", "noise", "used"]

import json
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from elbox.distributions import Bits, OneHots, Quantized
from elbox.distributions.support import discrete
from elbox.doctor.finding import Finding
from elbox.doctor.patient import Patient
from elbox.draws import sample
from elbox.evaluate.psis import UNRELIABLE, pareto_smoothed
from elbox.evaluate.scope import measuring

NOTHING, LITTLE = 0.1, 0.5  # nats
FREE = "warm the rate's weight up (ELBO(beta=Linear(0, 1, over=0.25))), or give free bits"
NEAREST = "or revive more of them (Codebook(dead=)), or take fsq_vae, which has no table to keep alive"


def collapsed(p: Patient) -> Iterator[Finding]:
    """Latent dimensions whose posterior is the prior, whatever the example is."""
    e = p.held
    if p.autoencoder or p.encoderless:
        return
    assert e.rate is not None
    if e.rate.mean < NOTHING:
        advice = f"{FREE}, or take a weaker decoder"
        yield Finding("collapsed", "the posterior has collapsed", f"rate {e.rate.mean:.2g} nats", e.rate.mean, advice)
    elif e.active_units and not discrete(p.seen.q) and e.active_units < len(e.variance_of_means) / 4:
        units = len(e.variance_of_means)
        measured = f"{e.active_units} of {units} are active (Var E[z|x] > 0.01), with a rate of {e.rate.mean:.3g} nats"
        advice = f"take latent={max(1, 2 * e.active_units)}, which costs nothing, or if more are wanted, {FREE}"
        yield Finding("collapsed", "most latent dimensions have collapsed", measured, float(e.active_units), advice)


def groups(p: Patient) -> Iterator[Finding]:
    """One of several groups of latent variables without a rate."""
    with measuring(p.model, p.seed):
        found = p.model.terms(p.seen.x, 10, c=p.seen.c, draw=sample).with_kl().groups
    for name, group in found.items() if len(found) > 1 else ():
        rate = float(group.rate.mean()) if group.has_rate else math.inf
        if rate < NOTHING:
            measured = f"group {name} has a rate of {rate:.2g} nats"
            advice = f"{FREE} for each group (ELBO(free_bits=1))"
            yield Finding("groups", f"the group {name} of latent variables has collapsed", measured, rate, advice)


def used(p: Patient) -> Iterator[Finding]:
    """A decoder that does as well with the code of another example."""
    if p.encoderless:
        return
    more, se = p.seen.cost(p.seen.z.roll(1, 1))
    if more < LITTLE:
        measured = f"with the codes of other examples the distortion rises by {more:.2g} ± {se:.1g} nats only"
        advice = "take a weaker decoder (fewer hidden units, no autoregression) or a richer encoder, and " + FREE
        yield Finding("used", "the decoder ignores z", measured, more, advice)


def noise(p: Patient) -> Iterator[Finding]:
    """Nats of the rate that buy no distortion: the bound is higher without them."""
    if p.autoencoder or p.encoderless or p.held.rate is None:
        return
    rate = p.held.rate.mean
    wasted, how = max(_by_unit(p), _by_width(p), _altogether(p))
    if wasted > max(1.0, 0.1 * rate):
        measured = f"{wasted:.3g} of {rate:.3g} nats: {how}"
        advice = "weigh the rate with 1 (beta=1), train longer, or take fewer latent dimensions"
        yield Finding("noise", "rate is spent on noise", measured, wasted, advice)


def _altogether(p: Patient) -> tuple[float, str]:
    """What the bound gains if q(z|x) is replaced by the prior."""
    more, se = p.seen.cost(p.seen.prior())
    assert p.held.rate is not None
    return p.held.rate.mean - more - 2 * se, f"codes drawn from the prior raise the distortion by {more:.3g} nats only"


def _by_unit(p: Patient) -> tuple[float, str]:
    """What the bound gains if those latent dimensions that cost more than they save are replaced by the prior."""
    units: list[int] = []
    drawn, total = p.seen.prior(), 0.0
    for d, rate in enumerate(p.held.rate_per_dimension):
        if rate > 2 * NOTHING:
            z = p.seen.z.clone()
            z[..., d] = drawn[..., d]
            more, se = p.seen.cost(z)
            if rate - more > 2 * se and more < 0.5 * rate:
                total, units = total + rate - more, [*units, d]
    return total, f"latent dimensions {', '.join(map(str, units[:5]))} cost more than they save in distortion"


def _by_width(p: Patient) -> tuple[float, str]:
    """What the bound gains if q(z|x) is made twice as wide."""
    q, p_z = p.seen.q, p.model.prior
    if not (isinstance(q, Independent) and isinstance(q.base_dist, Normal)) or p_z is None:
        return 0.0, ""
    with measuring(p.model, p.seed):
        prior, base = p_z(p.seen.c), q.base_dist
        wide = base.loc + 2 * (p.seen.z - base.loc)
        saved = math.log(2) * wide.shape[-1] - (prior.log_prob(p.seen.z) - prior.log_prob(wide)).mean()
    more, se = p.seen.cost(wide)
    return float(saved) - more - 2 * se, f"codes that are twice as noisy raise the distortion by {more:.3g} nats only"


def inference(p: Patient) -> Iterator[Finding]:
    """An ELBO far below log p(x)."""
    e = p.held
    if e.log_likelihood is None or e.elbo is None or e.rate is None or p.encoderless:
        return
    gap = e.log_likelihood.mean - e.elbo.mean
    if gap > max(2.0, 0.25 * e.rate.mean):
        measured = f"log p(x) is {gap:.3g} nats above the ELBO at least, with a rate of {e.rate.mean:.3g}{_pareto(p)}"
        yield Finding("inference", "the inference gap is large", measured, gap, _what_of_gaps(p))


def _pareto(p: Patient) -> str:
    with measuring(p.model, p.seed):
        log_w = torch.cat([p.model.terms(p.seen.x, 50, c=p.seen.c, draw=sample).log_w for _ in range(4)])
    share = float((pareto_smoothed(log_w)[1] > UNRELIABLE).double().mean())
    return f", and k̂ > 0.7 for {100 * share:.0f} % of the examples"


def _what_of_gaps(p: Patient) -> str:
    """What the gaps say, if they were measured: the family, or the encoder."""
    path = p.folder / "gaps.json" if p.folder else None
    richer = "a richer posterior: FullNormal, or a flow"
    larger = "a larger encoder, or train it longer"
    if path is None or not path.is_file():
        return f"take {larger}, or {richer}; elbox evaluate {p.name} --gaps says which"
    found = json.loads(path.read_text(encoding="utf-8"))
    family = found["family"]
    parts = found["approximation"][family]["mean"], found["amortisation"]["mean"]
    said = f"approximation gap {parts[0]:.2g}, amortisation gap {parts[1]:.2g} nats"
    return f"take {richer if parts[0] > parts[1] else larger} ({said})"


def codebook(p: Patient) -> Iterator[Finding]:
    """Discrete codes of which few are ever used."""
    shares = _shares(p.seen.q)
    if shares is None:
        return
    entropy = -(shares * shares.clamp(min=1e-12).log()).sum(-1)
    perplexity, most = float(entropy.exp().mean()), min(shares.shape[-1], len(p.seen.x))
    if (perplexity - 1) < 0.2 * (most - 1):
        unused = float((shares < 0.1 / shares.shape[-1]).double().mean())
        measured = f"perplexity {perplexity:.3g} of {most}, {100 * unused:.0f} % of the codes hardly ever used"
        drawn = f"{FREE}; or a higher temperature or an entropy bonus while training begins"
        advice = f"take fewer codes; {NEAREST if isinstance(p.seen.q, Quantized) else drawn}"
        yield Finding("codebook", "most codes are dead", measured, perplexity, advice)


def _shares(q: object) -> Tensor | None:
    """How often each of C categories is taken over the examples, [G, C]; None for what is no such code."""
    if isinstance(q, OneHots):
        return q.base_dist.mean.double().mean(0)
    if isinstance(q, Bits):
        ones = q.base_dist.mean.double().mean(0)
        return torch.stack([ones, 1 - ones], -1)
    if isinstance(q, Quantized):  # of all positions together, for each level
        levels = q.codes.flatten(0, -2).T
        return torch.stack([torch.bincount(c, minlength=q.codebook.size) for c in levels]).double() / levels.shape[1]
    return None
