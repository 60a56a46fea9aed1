"""The benchmarks: every contender computes the same function of the same weights, and the page says what was found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import elbox
from benchmarks import limit, report, speed, weights
from benchmarks.contenders import nets, plain
from benchmarks.rounds import Spread, ratios
from benchmarks.workloads import TRAINING, Problem

LETTERS = sorted(TRAINING)


def small(letter: str) -> Problem:
    """A workload's problem on a few random images, with weights that are not the initial ones."""
    rng = np.random.default_rng(0)
    shares = tuple(rng.uniform(0.05, 0.95, 784).tolist())
    spec = elbox.DataSpec((1, 28, 28), "binary", offset=shares)
    x = (rng.random((6, 1, 28, 28)) < 0.3).astype(np.uint8)
    values = weights.export(TRAINING[letter].build(spec).model)
    fixed = ("mean", "logit")
    moved = {n: v if n in fixed else v + 0.05 * rng.normal(size=v.shape).astype(np.float32) for n, v in values.items()}
    return Problem(TRAINING[letter], spec, x, moved)


def model(problem: Problem) -> elbox.VAE:
    made = problem.workload.build(problem.spec).model
    weights.load(made, problem.weights)
    return made.eval()


def agrees(problem: Problem, encode: Any, decode: Any) -> None:
    """(μ, log σ) and logits of a contender against those of elbox's distributions."""
    ours, z = model(problem), np.random.default_rng(1).normal(size=(3, problem.workload.settings.get("latent", 20)))
    with torch.no_grad():
        q = ours.encode(torch.from_numpy(problem.x).float()).base_dist
        logits = ours.decode(torch.from_numpy(z).float()).base_dist.logits.flatten(1)
    mean, log_scale = encode(problem.x.reshape(len(problem.x), -1).astype(np.float32))
    np.testing.assert_allclose(mean, q.loc, atol=2e-5)
    np.testing.assert_allclose(log_scale, q.scale.log(), atol=2e-5)
    np.testing.assert_allclose(decode(z.astype(np.float32)), logits, atol=5e-5)


@pytest.mark.parametrize("letter", LETTERS)
def test_torch_contenders_compute_what_elbox_does(letter: str) -> None:
    problem = small(letter)
    theirs = nets.Nets(problem)
    with torch.no_grad():
        agrees(problem, lambda x: theirs.encode(torch.from_numpy(x)), lambda z: theirs.decode(torch.from_numpy(z)))


@pytest.mark.parametrize("letter", LETTERS)
def test_jax_computes_what_elbox_does(letter: str) -> None:
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    from benchmarks.contenders import jax

    problem = small(letter)
    params, encode, decode = jax.networks(problem)
    agrees(problem, lambda x: encode(params, x), lambda z: decode(params, z))
    for name, value in jax.exported(params).items():
        np.testing.assert_array_equal(value, problem.weights[name], err_msg=name)
    again = problem.workload.build(problem.spec, seed=1).model
    weights.load(again, jax.exported(params))
    for ours, wanted in zip(again.parameters(), model(problem).parameters(), strict=True):
        torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("letter", LETTERS)
def test_exported_weights_give_the_same_elbo(letter: str) -> None:
    problem = small(letter)
    again = problem.workload.build(problem.spec, seed=1).model
    weights.load(again, nets.Nets(problem).export() | {"mean": problem.weights["mean"]})
    x = torch.from_numpy(problem.x).float()
    first, second = (elbox.evaluate(m, x, samples=3).elbo for m in (model(problem), again))
    assert first is not None
    assert second is not None
    assert second.mean == pytest.approx(first.mean, abs=1e-3)


def test_the_plain_loop_minimises_the_negative_elbo() -> None:
    problem = small("A")
    theirs, x = nets.Nets(problem), torch.from_numpy(problem.x)
    torch.manual_seed(0)
    with torch.no_grad():
        found = torch.stack([plain.loss_of(theirs, x.flatten(1).float(), 1) for _ in range(400)])
    wanted = elbox.evaluate(model(problem), x.float(), samples=400).elbo
    assert wanted is not None
    error = float(found.std()) * (2 / 400) ** 0.5
    assert float(found.mean()) == pytest.approx(-wanted.mean, abs=4 * error)


def test_pythae_gets_the_same_networks() -> None:
    pytest.importorskip("pythae")
    from benchmarks.contenders import pythae

    problem = small("B")
    theirs, _ = pythae._model(problem)

    def encode(x: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        found = theirs.encoder(torch.from_numpy(x))
        return found.embedding, found.log_covariance / 2

    with torch.no_grad():
        agrees(problem, encode, lambda z: torch.logit(theirs.decoder(torch.from_numpy(z)).reconstruction.double()))


def test_the_limit_counts_every_product_but_the_first_layers_input_gradient() -> None:
    operations = sum(2 * m * k * n for m, k, n in limit.products(small("A")))
    sizes = [784 * 400, 400 * 40, 20 * 400, 400 * 784]
    assert operations == 2 * 128 * (3 * sum(sizes) - sizes[0])


def test_ratios_are_of_each_round_and_spreads_show_the_range() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert Spread.of([3.0, 1.0, 2.0]).text(1) == "2.0 (1.0–3.0)"


def test_a_contender_that_learns_something_else_is_marked_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    found = {k: {"title": k, "bound": {"elbo": v}} for k, v in (("same", -100.1), ("other", -104.0))}
    speed.judge(found, [-100.0, -100.2, -99.9])
    assert [about["differs"] for about in found.values()] == [False, True]
    assert "other" in capsys.readouterr().out


def test_the_page_shows_ratios_limits_and_who_was_left_out() -> None:
    timed = {"prepare": 1.0, "note": "", "limit": False, "precision": "32"}
    contenders = {
        "elbox": timed | {"title": "elbox", "times": [1.0, 2.0, 2.0], "precision": "", "note": "precision bf16: fast"},
        "jax": timed | {"title": "JAX", "times": [3.0, 4.0, 4.0], "bound": {"elbo": -99.0}, "differs": True},
        "limit16": timed | {"title": "limit", "times": [0.5, 0.5, 1.0], "precision": "bf16", "limit": True},
        "pythae": {"title": "Pythae", "failed": "No module named 'pythae'"},
    }
    measured = {"title": "a net", "steps": 10, "rounds": 3, "contenders": contenders, "machine": {"processor": "two"}}
    page = report.page({"speed": {"A": measured}})
    assert "| JAX | 4.00 (3.00–4.00) | 2.00 × |  | 1.0 | -99.00 **!** |" in page
    assert "| elbox | 2.00 (1.00–2.00) |  | 0.50 | 1.0 |  |" in page
    assert "Pythae: left out, No module named 'pythae'" in page
