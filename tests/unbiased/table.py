"""The tables of docs/estimators.md, found by asking: every objective × estimator × kind of latent variable.

Rows and columns are what elbox exports, so that a new estimator or objective appears by itself. `test_table.py` holds
the page against the code and every cell against the exact gradient. To write the page again:

    python -m tests.unbiased.table
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import zuko
from torch import Tensor, nn

from elbox import ELBO, IWAE, VAE, IncompatibleError, Renyi, objectives
from elbox.cost import count
from elbox.estimators import Estimator
from elbox.objectives import CIWAE, CUBO, MIWAE, PIWAE, TVO, Distortion, Objective, Penalized, Rate, Split
from tests.components import FEATURES, LATENT, make, of
from tests.unbiased import exact
from tests.unbiased.exact import Formula, gradient
from tests.unbiased.models import shaken
from tests.unbiased.sampled import deviation, sample

PAGE = Path(__file__).parents[2] / "docs" / "estimators.md"
BEGIN, END = "<!-- generated: python -m tests.unbiased.table -->", "<!-- end -->"
REFUSED, BIASED = "–", "biased"
DRAWS = 300


class Row(NamedTuple):
    """An objective of 2 samples, the formulas that train the generative and the inference model, and one of 8 samples.

    The formulas are None where examples are not treated one by one; `test_penalties.py` has these.
    """

    small: Objective
    formulas: tuple[Formula, Formula] | None
    large: Objective


def both(formula: Formula) -> tuple[Formula, Formula]:
    return formula, formula


TWO = TVO(2, 2, -0.5)
ROWS: dict[str, Row] = {
    "ELBO": Row(ELBO(samples=2), both(exact.elbo()), ELBO(samples=8)),
    "ELBO, β = 0.4": Row(ELBO(beta=0.4, samples=2), both(exact.elbo(0.4)), ELBO(beta=0.4, samples=8)),
    "ELBO, free bits": Row(ELBO(free_bits=0.3, samples=2), None, ELBO(free_bits=0.3, samples=8)),
    "ELBO, capacity": Row(ELBO(capacity=1.0, samples=2), None, ELBO(capacity=1.0, samples=8)),
    "IWAE": Row(IWAE(2), both(exact.renyi(0.0, 2)), IWAE(8)),
    "Renyi, α = 0.5": Row(Renyi(0.5, 2), both(exact.renyi(0.5, 2)), Renyi(0.5, 8)),
    "MIWAE": Row(MIWAE(2, 2), both(exact.renyi(0.0, 2)), MIWAE(2, 4)),
    "PIWAE": Row(PIWAE(2, 1), (exact.renyi(0.0, 2), exact.elbo()), PIWAE(2, 4)),
    "CIWAE": Row(CIWAE(0.3, 2), both(exact.combined(0.3, 2)), CIWAE(0.3, 8)),
    "TVO": Row(TWO, both(exact.thermodynamic(TWO.betas, 2)), TVO(2, 8, -0.5)),
    "Split(TVO, upper TVO)": Row(
        Split(TWO, TVO(2, 2, -0.5, upper=True)),
        (exact.thermodynamic(TWO.betas, 2), lambda n: -exact.thermodynamic(TWO.betas, 2, right=True)(n)),
        Split(TVO(2, 8, -0.5), TVO(2, 8, -0.5, upper=True)),
    ),
    "CUBO": Row(CUBO(2.0, 2), None, CUBO(2.0, 8)),
    "Split(IWAE, CUBO)": Row(
        Split(IWAE(2), CUBO(2.0, 2)),
        (exact.renyi(0.0, 2), lambda n: -exact.renyi(-1.0, 2)(n)),
        Split(IWAE(8), CUBO(2.0, 8)),
    ),
    "Distortion": Row(Distortion(samples=2), both(exact.elbo(0.0)), Distortion(samples=8)),
    "Rate": Row(Rate(samples=2), both(lambda n: (n.weight * (n.log_pz - n.log_qz)).sum()), Rate(samples=8)),
    "VAEGAN": Row(make("objectives.VAEGAN").double(), None, make("objectives.VAEGAN").double()),
    "GAN": Row(make("objectives.GAN").double(), None, make("objectives.GAN").double()),
    "Penalized": Row(Penalized(ELBO(samples=2), []), None, Penalized(ELBO(samples=8), [])),
}


def coins() -> VAE:
    return VAE(make("priors.BernoulliPrior"), make("likelihoods.Gaussian"), make("posteriors.BernoulliCode"))


def flow() -> VAE:
    q = zuko.flows.MAF(LATENT, FEATURES, transforms=1, hidden_features=(4,), activation=nn.Tanh)
    return VAE(make("priors.NormalMixture"), make("likelihoods.Gaussian"), q)


def normal() -> VAE:
    return VAE(make("priors.LearnedNormal"), make("likelihoods.Gaussian"), make("posteriors.DiagonalNormal"))


def deterministic() -> VAE:
    return VAE(None, make("likelihoods.Gaussian"), make("posteriors.Deterministic"))


FAMILIES: dict[str, Callable[[], VAE]] = {
    "Normal posterior and prior: a closed-form KL": normal,
    "Flow posterior, mixture prior: reparameterised, no closed form": flow,
    "Binary codes: not reparameterised": coins,
    "Deterministic code": deterministic,
}
AROUND = ("MAP", "BayesianWeights")  # these add the weights' share to whatever they are around: test_weights.py
ESTIMATORS = [n.split(".")[1] for n in of("estimators") if n.split(".")[1] not in AROUND]


def model(family: str) -> VAE:
    """The fixed small problem: 2 latent variables, 5 dimensions of data, everything learned, in double precision."""
    torch.manual_seed(1)
    vae = FAMILIES[family]()
    for part in vae.children():
        shaken(part)
    return vae


def batch() -> Tensor:
    return torch.tensor([[1.0, 0.4, 3.5, 5.0, 3.0], [0.2, 3.0, 1.7, 4.6, 7.0]], dtype=torch.float64)


def estimator(name: str) -> Estimator:
    found = make(f"estimators.{name}")
    return found.double() if isinstance(found, nn.Module) else found


class Cell(NamedTuple):
    """Whether an estimator accepts an objective for a kind of latent variables, and what it said if not."""

    legal: bool
    unbiased: bool
    refusal: str = ""

    @property
    def mark(self) -> str:
        return REFUSED if not self.legal else "" if self.unbiased else BIASED


@functools.cache
def cell(family: str, objective: str, how: str) -> Cell:
    chosen = estimator(how)
    try:
        chosen(model(family), batch(), ROWS[objective].small)
    except IncompatibleError as error:
        return Cell(False, False, str(error))
    return Cell(True, chosen.unbiased)


def cells() -> Iterator[tuple[str, str, str]]:
    for family in FAMILIES:
        for objective in ROWS:
            for how in ESTIMATORS:
                yield family, objective, how


def unlisted() -> set[str]:
    """Exported objectives that no row is about."""
    exported = {n for n in objectives.__all__ if f"objectives.{n}" in of("objectives")}
    concrete = {n for n in exported if isinstance(make(f"objectives.{n}"), Objective)}
    return concrete - {word for name in ROWS for word in name.replace("(", " ").replace(",", " ").split()}


# ── numbers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@functools.cache
def variance(family: str, objective: str, how: str) -> float:
    """Total variance of the posterior's gradient over draws, 8 samples for each of 2 examples."""
    vae, chosen, x = model(family), estimator(how), batch()
    parameters = list(vae.posterior.parameters())
    torch.manual_seed(0)
    found = []
    for _ in range(DRAWS):
        loss = chosen(vae, x, ROWS[objective].large).loss
        g = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        found.append(torch.cat([t.flatten() for t in g]))
    return torch.stack(found).var(0).sum().item()


@functools.cache
def bias(family: str, objective: str, how: str) -> float:
    """Distance of the mean gradient of the posterior from the exact one, over the length of that: 2 samples."""
    found = sample(estimator(how), model(family), ROWS[objective].small, batch(), copies=4800)
    return deviation(dict(right_gradient(family, objective)), found, "posterior")[0]


def reference(family: str, objective: str) -> str | None:
    """Reparameterisation, or the score function where there is none."""
    return next((n for n in ("Reparameterized", "Score") if cell(family, objective, n).legal), None)


def text(family: str, objective: str, how: str) -> str:
    """What stands in the page: a relative variance, a mark with the size of the bias, or both."""
    found, against = cell(family, objective, how), reference(family, objective)
    if not found.legal:
        return REFUSED
    mark = found.mark
    if mark and ROWS[objective].formulas is not None:
        mark += f" {100 * bias(family, objective, how):.0f} %"
    if against is None:
        return f"yes {mark}".strip()
    scale = variance(family, objective, against)
    number = f"{variance(family, objective, how) / scale:.2g}" if scale > 1e-20 else "no noise"
    return f"{number} {mark}".strip()


class Cost(NamedTuple):
    encoder: int
    decoder: int
    flops: int


def cost(family: str, objective: str, how: str) -> Cost:
    """Calls of the networks and floating-point operations of one step, forward and backward, counted."""
    vae, chosen, calls = model(family), estimator(how), {"posterior": 0, "likelihood": 0}

    def called(name: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            calls[name] += 1

        return hook

    for name in calls:
        getattr(vae, name).register_forward_hook(called(name))
    flops = count(lambda: chosen(vae, batch(), ROWS[objective].large).loss.backward()).flops
    return Cost(calls["posterior"], calls["likelihood"], flops)


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def table_of(family: str) -> str:
    """Only estimators and objectives that fit at least once in this family."""
    rows = [o for o in ROWS if any(cell(family, o, n).legal for n in ESTIMATORS)]
    columns = [n for n in ESTIMATORS if any(cell(family, o, n).legal for o in rows)]
    lines = [[f"`{o}`" if o.isidentifier() else o, *(text(family, o, n) for n in columns)] for o in rows]
    return f"### {family}\n\n" + markdown(["objective", *(f"`{n}`" for n in columns)], lines)


def costs() -> str:
    lines = []
    for how in ESTIMATORS:
        fits = ((f, o) for f in FAMILIES for o in ("ELBO", "PIWAE", "TVO") if cell(f, o, how).legal)
        family, objective = next(fits, (None, None))
        if family and objective:
            lines.append(cost_line(family, objective, how))
            if objective == "ELBO" and cell(family, "PIWAE", how).legal:
                lines.append(cost_line(family, "PIWAE", how))
    return markdown(["estimator", "objective", "encoder calls", "decoder calls", "operations"], lines)


def cost_line(family: str, objective: str, how: str) -> list[str]:
    own = cost(family, objective, how)
    plain = cost(family, "ELBO", reference(family, "ELBO") or how)
    return [f"`{how}`", f"`{objective}`", str(own.encoder), str(own.decoder), f"{own.flops / plain.flops:.2f}"]


def markdown(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def block() -> str:
    parts = [table_of(family) for family in FAMILIES]
    return "\n".join([BEGIN, "", *parts, "### Cost", "", costs(), END])


def written() -> dict[tuple[str, str, str], str]:
    """The cells that stand in the page, by (family, objective, estimator); what is not there is refused."""
    found: dict[tuple[str, str, str], str] = {}
    body = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    for section in body.split("### ")[1:]:
        family, _, rest = section.partition("\n")
        rows = [[c.strip().strip("`") for c in line.strip("|").split("|")] for line in rest.strip().splitlines()]
        for row in rows[2:]:
            found |= {(family, row[0], name): value for name, value in zip(rows[0][1:], row[1:], strict=True)}
    return found


def write() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + block() + rest.partition(END)[2], encoding="utf-8")


@functools.cache
def right_gradient(family: str, objective: str) -> exact.Gradient:
    """The exact gradient of an objective of two samples, by quadrature or enumeration."""
    vae, x, formulas = model(family), batch(), ROWS[objective].formulas
    assert formulas is not None
    if vae.deterministic:
        return gradient(vae, vae.likelihood(vae.posterior.net(x)).log_prob(x).mean())
    grid = exact.codes(LATENT) if FAMILIES[family] is coins else exact.plane(half_width=18.0)  # wide posteriors
    return exact.of_players(*(gradient(vae, exact.mean(formula, exact.nodes(vae, x, grid))) for formula in formulas))


if __name__ == "__main__":
    write()
