"""The numbers of a run with their standard errors, and what each of them means in one sentence."""

from __future__ import annotations

__all__ = ["headline", "results"]

import math
from collections.abc import Iterator

from elbox.evaluate import Evaluation, MeanSE
from elbox.report.markup import Html, fragment, minus, section, tag
from elbox.report.subject import Subject

SPLITS = {"train": "training", "valid": "validation", "test": "test"}

LIKELIHOOD = (
    "Log-likelihood of an example, estimated with S = {samples} importance samples; in expectation a lower bound that "
    "rises with S. Higher is better."
)
BITS = "The same as −log p(x) / (D ln 2) with D = {dims}"
ELBO = "Evidence lower bound, −\u2060(distortion + rate): what a VAE maximises, and at most log p(x)."
DISTORTION = "−E log p(x|z): what the code leaves out, the cost of an example once its code is known."
RATE = "KL(q(z|x) ‖ p(z)), {how}: what the code costs, the information that it keeps of an example."
INFORMATION = (
    "I(n; z) = E log q(z|x) − log q(z), with q(z) the posterior aggregated over {n} examples: the part of the "
    "rate that tells examples apart, at most log {n} = {most:.2f}. With the next two it adds up to the rate. Standard "
    "errors of the three are those of {codes} codes drawn, for these examples."
)
CORRELATION = "KL(q(z) ‖ Π q(z_d)): how far latent dimensions depend on each other over the examples; 0 if they do not."
SHAPES = "Σ KL(q(z_d) ‖ p(z_d)): how far each latent dimension, over the examples, is from its prior."
ESS = (
    "(Σw)² / Σw² of the importance weights. Near S the posterior fits well; near 1 one sample outweighs all others, "
    "and the bound on log p(x) is loose."
)
ACTIVE = "Latent dimensions that the model uses: the variance of E[z|x] over the examples exceeds 0.01."
EXAMPLES = (
    "Standard errors are over these: how far another such set would move a number, not how far another seed would."
)

NO_DENSITY = "A deterministic code has no density: there is no rate and no bound on log p(x){more}."
NO_PRIOR = ", and without a prior nothing to sample. What needs one of them is left out of this report"
NO_ENCODER = (
    "The model has no encoder: its codes are draws of the prior, whatever the example is. All reconstructions are "
    "alike, and log p(x) is a plain average over draws of the prior, far too low unless there are very many."
)
DENSITY_OF_INTEGERS = (
    "The likelihood is a density of whole numbers taken as real ones: its nats do not compare with those of a "
    "probability of the same values."
)
DENSITY = "The likelihood is a density in the unit of the data; it may exceed 1, so that log p(x) may be positive."


def headline(subject: Subject) -> Html:
    """The most important numbers, large, with the protocol below them."""
    e = subject.evaluation
    found = [("log p(x) ≥", e.log_likelihood), ("ELBO", e.elbo), ("distortion", e.distortion), ("rate", e.rate)]
    tiles = [_tile(name, value) for name, value in found if value is not None]
    return fragment(tag("dl", *tiles, class_="tiles"), _protocol(subject))


def results(subject: Subject) -> Html:
    """The section: every number, with what it means."""
    rows = [_row(*row) for row in _numbers(subject)]
    body = tag("table", tag("tbody", *rows), class_="numbers")
    return section("Numbers", body, *_remarks(subject), _protocol(subject))


def _protocol(subject: Subject) -> Html:
    """The line without which numbers cannot be compared."""
    e = subject.evaluation
    draws = "" if subject.autoencoder else f", S = {e.samples}, seed {e.seed}"
    said = f"{subject.run.protocol}. Means ± standard errors over {e.n} {SPLITS[subject.split]} examples{draws}."
    return tag("p", tag("b", "Protocol: "), said, class_="protocol")


def _numbers(subject: Subject) -> Iterator[tuple[str, str, str, str]]:
    """Name, value, unit and meaning."""
    e = subject.evaluation
    how = "in closed form" if e.closed_form else f"from {e.samples} samples"
    bits = ". Lower is better." if subject.spec.is_discrete else ", of a density: it depends on the unit of the data."
    found = [
        ("log p(x) ≥", e.log_likelihood, "nats", LIKELIHOOD.format(samples=e.samples)),
        ("Bits per dimension ≤", e.bits_per_dim, "bits/dim", BITS.format(dims=e.dims) + bits),
        ("ELBO", e.elbo, "nats", ELBO),
        ("Distortion", e.distortion, "nats", DISTORTION),
        ("Rate", e.rate, "nats", RATE.format(how=how)),
        ("Mutual information", e.mutual_information, "nats", _information(e)),
        ("Total correlation", e.total_correlation, "nats", CORRELATION),
        ("Dimension-wise KL", e.dimension_kl, "nats", SHAPES),
        ("Effective sample size", e.ess, f"of {e.samples}", ESS),
    ]
    yield from ((name, minus(str(value)), unit, meaning) for name, value, unit, meaning in found if value is not None)
    if e.active_units is not None:
        yield "Active units", str(e.active_units), f"of {len(e.variance_of_means)}", ACTIVE
    yield "Examples", str(e.n), SPLITS[subject.split], EXAMPLES


def _information(e: Evaluation) -> str:
    return INFORMATION.format(n=e.aggregated, most=math.log(max(1, e.aggregated)), codes=e.codes)


def _remarks(subject: Subject) -> list[Html]:
    said = []
    if subject.autoencoder:
        said.append(NO_DENSITY.format(more=NO_PRIOR if subject.model.prior is None else ""))
    if subject.encoderless:
        said.append(NO_ENCODER)
    if subject.spec.is_discrete and getattr(subject.model.likelihood, "density", False):
        said.append(DENSITY_OF_INTEGERS)
    elif not subject.spec.is_discrete:
        said.append(DENSITY)
    return [tag("p", text, class_="note") for text in said]


def _tile(name: str, value: MeanSE) -> Html:
    mean, _, error = minus(str(value)).partition(" ± ")
    return tag("div", tag("dt", name), tag("dd", mean, tag("small", f"± {error} nats" if error else "nats")))


def _row(name: str, value: str, unit: str, meaning: str) -> Html:
    number = tag("td", tag("b", value), tag("small", unit))
    return tag("tr", tag("th", name, scope="row"), number, tag("td", meaning, class_="why"))
