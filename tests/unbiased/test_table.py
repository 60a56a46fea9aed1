"""docs/estimators.md says what the code does, and every cell of its tables is held against the exact gradient."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from elbox.estimators import Covariance
from elbox.objectives import TVO
from tests.unbiased import exact, table
from tests.unbiased.exact import codes, gradient, line, nodes
from tests.unbiased.models import batch as batch_of_three
from tests.unbiased.models import model
from tests.unbiased.sampled import agree, deviation, sample

CELLS = list(table.cells())
LEGAL = [c for c in CELLS if table.cell(*c).legal]
EXACT = [c for c in LEGAL if table.cell(*c).unbiased and table.ROWS[c[1]].formulas is not None]


def ids(c: tuple[str, str, str]) -> str:
    return f"{c[0].split()[0]}-{c[1]}-{c[2]}"


def test_every_exported_objective_has_a_row() -> None:
    assert not table.unlisted(), "give the new objective a row with its exact gradient in tests/unbiased/table.py"


def test_page_says_what_the_code_does() -> None:
    """Legal, unbiased or biased: the same in the page as when asked. Else: python -m tests.unbiased.table."""
    page = table.written()
    for c in CELLS:
        stands = page.get(c, table.REFUSED)
        mark = table.REFUSED if stands == table.REFUSED else table.BIASED if table.BIASED in stands else ""
        assert mark == table.cell(*c).mark, c
    assert {c for c in page if c[0] in table.FAMILIES} <= set(CELLS)


@pytest.mark.parametrize("c", EXACT, ids=ids)
def test_unbiased(c: tuple[str, str, str]) -> None:
    """The mean gradient is the exact one for every parameter, of each player by its own objective."""
    family, objective, how = c
    vae, right = table.model(family), dict(table.right_gradient(family, objective))
    if vae.deterministic:
        loss = table.estimator(how)(vae, table.batch(), table.ROWS[objective].small).loss
        torch.testing.assert_close(gradient(vae, -loss), right)
        return
    found = gradient(vae, table.estimator(how)(vae, table.batch(), table.ROWS[objective].small).loss)
    for n in [n for n, g in right.items() if not g.any()]:  # the prior, where only the distortion counts
        assert not found[n].any()
        right.pop(n)
    agree(right, table.estimator(how), vae, table.ROWS[objective].small, table.batch())


def numbers(text: str) -> list[float]:
    """The relative variance, and the bias in per cent where there is one."""
    return [float(word) for word in text.split() if word[0].isdigit()]


@pytest.mark.slow
def test_page_has_the_numbers_that_are_measured() -> None:
    """Same seeds, so only rounding may differ from machine to machine."""
    page = table.written()
    for c in LEGAL:
        if page[c].split()[0] not in ("no", "yes"):
            stands, found = (numbers(t) for t in (page[c], table.text(*c)))
            assert found == pytest.approx(stands, rel=0.1, abs=0.01), c
    body = table.PAGE.read_text(encoding="utf-8")
    assert table.costs() in body


# ── known biases and orders of variance ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", ["DiagonalNormal", "Coins"])
@pytest.mark.parametrize("partitions", [1, 3])
def test_covariance_estimates_what_the_paper_says(partitions: int, family: str) -> None:
    """Its expectation is that of the paper's formula over all triples of nodes, bias and all."""
    coins = family == "Coins"
    vae, objective = model(family, "Coins" if coins else "LearnedNormal", latent=1), TVO(partitions, 3, -0.7)
    found = nodes(vae, batch_of_three(), codes(1) if coins else line(61))
    right = gradient(vae, exact.mean(exact.covariance(objective.betas, 3), found))
    agree(right, Covariance(), vae, objective, batch_of_three())


@pytest.mark.parametrize("samples", [2, 4])
def test_covariance_shrinks_the_gradient_of_the_elbo(samples: int) -> None:
    """With one interval: (K − 1)/K of the inference model's gradient, because the baseline contains the sample."""
    vae = model("DiagonalNormal", "LearnedNormal", latent=1)
    right = gradient(vae, exact.mean(exact.elbo(), nodes(vae, batch_of_three(), line(201))))
    shrunk = {n: g * ((samples - 1) / samples if n.startswith("posterior") else 1) for n, g in right.items()}
    agree(shrunk, Covariance(), vae, TVO(1, samples), batch_of_three())
    biased, error = deviation(right, sample(Covariance(), vae, TVO(1, samples), batch_of_three(), copies=4800), "post")
    assert biased == pytest.approx(1 / samples, abs=4 * error)


def limit(vae: torch.nn.Module, betas: tuple[float, ...]) -> Tensor:
    """The objective as K → ∞: Σ Δβ E_π[log w] with π ∝ q w^β over the nodes."""
    total = torch.zeros((), dtype=torch.float64)
    examples = nodes(vae, batch_of_three(), line(201))
    for n in examples:
        for low, high in itertools.pairwise(betas):
            tempered = n.weight * (low * n.log_w).exp()
            total = total + (high - low) * (tempered * n.log_w).sum() / tempered.sum()
    return total / len(examples)


def test_bias_of_covariance_falls_with_the_samples() -> None:
    """As 1/K, towards the gradient of the limit K → ∞; and it is there for small K."""
    vae = model("DiagonalNormal", "LearnedNormal", latent=1)
    betas = TVO(3, 2, -0.7).betas
    right, off = gradient(vae, limit(vae, betas)), {}
    for k in (4, 16, 64):
        found = sample(Covariance(), vae, TVO(3, k, -0.7), batch_of_three(), copies=38400 // k)
        off[k] = deviation(right, found, "posterior")
    assert off[4][0] > 0.05
    assert off[4][0] > 6 * off[4][1]
    for k in (16, 64):
        assert off[k][0] < 1.5 * off[4][0] * 4 / k + 4 * off[k][1], off


@pytest.mark.parametrize(("less", "more"), [("Reparameterized", "Score"), ("Path", "Reparameterized")])
def test_order_of_variances_of_the_elbo(less: str, more: str) -> None:
    family = next(iter(table.FAMILIES))
    assert table.variance(family, "ELBO", less) < 0.8 * table.variance(family, "ELBO", more)
