"""The numbers of a run with their standard errors, and what each of them means in one sentence."""

from __future__ import annotations

__all__ = ["headline", "results"]

from elbox.evaluate import MeanSE
from elbox.likelihoods import FixedGaussian, Gaussian, PredictedGaussian
from elbox.report.markup import Html, fragment, minus, section, tag
from elbox.report.subject import Subject

SPLITS = {"train": "training", "valid": "validation", "test": "test"}
ERRORS = "Standard errors are over these: how far another such set would move a number, not how far another seed would."
DENSITIES = (Gaussian, FixedGaussian, PredictedGaussian)


def headline(subject: Subject) -> Html:
    """The most important numbers, large, with the protocol below them."""
    e = subject.evaluation
    found = [
        ("log p(x) ≥", e.log_likelihood, "nats"),
        ("ELBO", e.elbo, "nats"),
        ("distortion", e.distortion, "nats"),
        ("rate", e.rate, "nats"),
    ]
    tiles = [_tile(name, value, unit) for name, value, unit in found if value is not None]
    return fragment(tag("dl", *tiles, class_="tiles"), protocol(subject))


def protocol(subject: Subject) -> Html:
    """The line without which numbers cannot be compared."""
    e = subject.evaluation
    where = f"{e.n} {SPLITS[subject.split]} examples"
    draws = "" if subject.autoencoder else f", S = {e.samples}, seed {e.seed}"
    return tag("p", tag("b", "Protocol: "), f"{subject.run.protocol}. Means ± standard errors over {where}{draws}.", class_="protocol")


def results(subject: Subject) -> Html:
    """The section: every number, with what it means."""
    e = subject.evaluation
    rows = [_row(name, minus(str(value)), unit, meaning) for name, value, unit, meaning in _numbers(subject)]
    if e.active_units is not None:
        total = len(e.variance_of_means)
        meaning = "Latent dimensions whose posterior mean varies over the examples, Var E[z|x] > 0.01: those that the model uses."
        rows.append(_row("Active units", str(e.active_units), f"of {total}", meaning))
    rows.append(_row("Examples", str(e.n), SPLITS[subject.split], ERRORS))
    body = tag("table", tag("tbody", *rows), class_="numbers")
    return section("Numbers", body, *_remarks(subject), protocol(subject))


def _numbers(subject: Subject) -> list[tuple[str, MeanSE, str, str]]:
    e, real = subject.evaluation, subject.spec.kind == "real"
    exact = "in closed form" if e.closed_form else f"from {e.samples} samples"
    found = [
        (
            "log p(x) ≥",
            e.log_likelihood,
            "nats",
            f"Log-likelihood of an example, estimated with S = {e.samples} importance samples; in expectation a lower bound that rises with S. "
            "Higher is better.",
        ),
        (
            "Bits per dimension ≤",
            e.bits_per_dim,
            "bits/dim",
            f"The same number, −log p(x) / (D ln 2) with D = {e.dims}"
            + (", of a density: it depends on the unit of the data." if real else ". Lower is better."),
        ),
        ("ELBO", e.elbo, "nats", "Evidence lower bound, −\u2060(distortion + rate): what a VAE maximises, and at most log p(x)."),
        ("Distortion", e.distortion, "nats", "−E log p(x|z): what the code leaves out, the cost of an example once its code is known."),
        ("Rate", e.rate, "nats", f"KL(q(z|x) ‖ p(z)), {exact}: what the code costs, the information that it keeps of an example."),
        (
            "Effective sample size",
            e.ess,
            f"of {e.samples}",
            "(Σw)² / Σw² of the importance weights. Near S the posterior fits well; near 1 one sample outweighs all others, and the bound "
            "on log p(x) is loose.",
        ),
    ]
    return [(name, value, unit, meaning) for name, value, unit, meaning in found if value is not None]


def _remarks(subject: Subject) -> list[Html]:
    kind, said = subject.spec.kind, []
    if subject.autoencoder:
        said.append(
            "An autoencoder has no prior: there is no rate, no bound on log p(x), and nothing to sample. What needs one of them is left "
            "out of this report."
        )
    if kind in ("levels", "count") and isinstance(subject.model.likelihood, DENSITIES):
        said.append(
            "The likelihood is a density of whole numbers taken as real ones: its nats do not compare with those of a probability of the "
            "same values."
        )
    elif kind == "real":
        said.append("The likelihood is a density in the unit of the data; it may exceed 1, so that log p(x) may be positive.")
    return [tag("p", text, class_="note") for text in said]


def _tile(name: str, value: MeanSE, unit: str) -> Html:
    mean, _, error = minus(str(value)).partition(" ± ")
    return tag("div", tag("dt", name), tag("dd", mean, tag("small", f"± {error} {unit}" if error else unit)))


def _row(name: str, value: str, unit: str, meaning: str) -> Html:
    number = tag("td", tag("b", value), tag("small", unit))
    return tag("tr", tag("th", name, scope="row"), number, tag("td", meaning, class_="why"))
