"""A long evaluation is compiled; its numbers are those of the chunks as they stand."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

from elbox import DataSpec, SettingError, recipes
from elbox.evaluate import evaluate, log_likelihood
from tests.evaluate.test_chunks import MLPS, rows_of

fast = sys.modules["elbox.evaluate.fast"]  # the package's name is that of its function, too


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every evaluation is long enough, and what is recorded runs without a compiler."""
    monkeypatch.setattr(fast, "GAIN_SECONDS", -1.0)
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    monkeypatch.setattr(fast, "cpu_has_bf16", lambda *, compiled: True)


def wide() -> Any:
    torch.manual_seed(0)
    return recipes.vae(DataSpec((1, 20, 20), "binary"), latent=5, hidden=(150,)).model


@pytest.mark.parametrize("samples", [64, 100])
def test_recorded_chunks_give_the_numbers_of_plain_ones(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = MLPS.model, rows_of(70, MLPS.model)
    plain = evaluate(model, x, samples=samples, precision="32")
    scores = log_likelihood(model, x, samples, precision="32")
    calls = []
    original = fast.record
    monkeypatch.setattr(fast, "GAIN_SECONDS", -1.0)
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    monkeypatch.setattr(fast, "record", lambda *a, **k: calls.append(k) or original(*a, **k))
    result = evaluate(model, x, samples=samples, precision="32")
    assert calls == [{"bf16": False}]
    assert result.per_example.keys() == plain.per_example.keys()
    for name, values in plain.per_example.items():
        torch.testing.assert_close(torch.tensor(result.per_example[name]), torch.tensor(values), rtol=1e-5, atol=1e-5)
    assert result.closed_form == plain.closed_form
    assert result.active_units == plain.active_units
    torch.testing.assert_close(log_likelihood(model, x, samples, precision="32"), scores, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("always")
def test_bfloat16_is_taken_where_it_changes_nothing_and_said() -> None:
    model, x = wide(), torch.rand(40, 1, 20, 20).round()
    exact, rounded = (evaluate(model, x, samples=64, precision=p) for p in ("32", "auto"))
    assert (exact.precision, rounded.precision) == ("32", "bf16")
    assert rounded.to_json()["precision"] == "bf16"
    assert 0 < abs(exact.log_likelihood.mean - rounded.log_likelihood.mean) < 0.02


@pytest.mark.usefixtures("always")
def test_bfloat16_is_not_taken_where_it_changes_something(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = wide(), torch.rand(40, 1, 20, 20).round()
    monkeypatch.setattr(fast, "TOLERANCE", 0.0)
    assert evaluate(model, x, samples=64).precision == "32"
    monkeypatch.undo()
    monkeypatch.setattr(fast, "GAIN_SECONDS", -1.0)
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    monkeypatch.setattr(fast, "cpu_has_bf16", lambda *, compiled: True)
    gaussian = recipes.vae(DataSpec((400,), "real"), latent=5, hidden=(150,)).model
    assert evaluate(gaussian, torch.randn(40, 400), samples=64).precision == "32"


@pytest.mark.usefixtures("always")
def test_a_model_that_cannot_be_recorded_is_evaluated_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = MLPS.model, rows_of(70, MLPS.model)
    plain = log_likelihood(model, x, 64, precision="32")

    def broken(*args: Any, **options: Any) -> Any:
        raise RuntimeError("no")

    monkeypatch.setattr(fast, "record", broken)
    assert torch.equal(log_likelihood(model, x, 64), plain)
    with pytest.raises(SettingError, match=r"got precision='bf16', but compilation failed \(no\); use precision"):
        log_likelihood(model, x, 64, precision="bf16")


def test_short_evaluations_are_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "record", lambda *a, **k: pytest.fail("compiled"))
    evaluate(MLPS.model, rows_of(70, MLPS.model), samples=64)


def test_unknown_precision() -> None:
    with pytest.raises(SettingError, match="got precision='half'; expected one of auto, 32, bf16"):
        evaluate(MLPS.model, rows_of(3, MLPS.model), precision="half")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_compiled(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = wide(), torch.rand(40, 1, 20, 20).round()
    plain = log_likelihood(model, x, 200, precision="32")
    monkeypatch.setattr(fast, "GAIN_SECONDS", -1.0)
    compiled = log_likelihood(model, x, 200, precision=precision)
    torch.testing.assert_close(compiled, plain, rtol=0, atol=1e-3 if precision == "32" else 0.2)
    assert abs(float((compiled - plain).mean())) < (1e-4 if precision == "32" else 0.02)
