"""The planner: within the memory budget, the same on every machine, and the encoder only once an example."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from elbox import VAE, DataSpec, recipes
from elbox.evaluate import evaluate
from elbox.evaluate.chunks import EXAMPLES, MEMORY, ROWS, Plan, bytes_written, plan, terms_in_chunks

MLPS = recipes.iwae(DataSpec((784,), "binary"))
CONV = recipes.conv_vae(DataSpec((3, 20, 13), "levels", levels=256))


def rows_of(n: int, model: VAE) -> torch.Tensor:
    shape = (784,) if model is MLPS.model else (3, 20, 13)
    return torch.ones(n, *shape, dtype=torch.uint8)


@pytest.mark.parametrize("memory", [2**18, 2**22, 2**26, MEMORY])
@pytest.mark.parametrize("model", [MLPS.model, CONV.model], ids=["mlp", "conv"])
@pytest.mark.parametrize("samples", [1, 7, 5000])
def test_a_chunk_stays_within_the_budget(model: VAE, samples: int, memory: int) -> None:
    x = rows_of(40, model)
    with torch.no_grad():
        sizes = plan(model, x, samples, memory)
        row = bytes_written(lambda: model.terms(x[:1].float(), 2)) - bytes_written(
            lambda: model.terms(x[:1].float(), 1)
        )
        assert 1 <= sizes.examples <= 40
        assert 1 <= sizes.samples <= samples
        rows = sizes.examples * sizes.samples
        assert rows == 1 or rows * row <= memory
        assert rows <= ROWS["cpu"]
        if rows > 1:  # and not only by the count that the plan was made with
            z = model.encode(x[: sizes.examples].float()).sample((sizes.samples,))
            used = bytes_written(lambda: model.decode(z).log_prob(x[: sizes.examples].float()))
            assert used <= memory


@pytest.mark.parametrize("samples", [1, 7, 50, 1000, 5000])
def test_big_products_at_the_default_budget(samples: int) -> None:
    sizes = plan(MLPS.model, rows_of(10_000, MLPS.model), samples, MEMORY)
    assert 0.9 * ROWS["cpu"] <= sizes.examples * sizes.samples <= ROWS["cpu"]
    assert sizes.samples == samples or sizes.examples >= EXAMPLES // 2


def test_equal_chunks_rather_than_a_small_rest() -> None:
    assert plan(MLPS.model, rows_of(100, MLPS.model), 5000, MEMORY) == Plan(25, 81)
    assert plan(MLPS.model, rows_of(3, MLPS.model), 2000, MEMORY) == Plan(3, 667)


def test_the_samples_of_an_objective_stay_together() -> None:
    assert plan(MLPS.model, rows_of(10_000, MLPS.model), 50, MEMORY, whole=True).samples == 50
    assert plan(MLPS.model, rows_of(10, MLPS.model), 50, 1, whole=True) == Plan(1, 50)


def test_a_budget_below_one_row_is_one_row() -> None:
    assert plan(MLPS.model, rows_of(10, MLPS.model), 50, 1) == Plan(1, 1)


def test_bytes_are_those_that_are_written_and_views_are_free() -> None:
    x = torch.ones(10, 10)
    assert bytes_written(lambda: x.flatten()[:7].expand(3, 7)) == 0
    assert bytes_written(lambda: (x + 1).exp()) == 2 * 400
    assert bytes_written(lambda: x.double()) == 800


def test_every_row_and_every_sample_once_and_the_encoder_once_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLPS.model
    encoded: list[int] = []
    handle = model.posterior.register_forward_hook(lambda m, args, out: encoded.append(len(args[0])))
    try:
        seen = []
        for rows, chunks in terms_in_chunks(model, rows_of(11, model), 10, Plan(4, 3)):
            seen.append((rows, [tuple(t.log_px.shape) for t in chunks]))
    finally:
        handle.remove()
    each = [[(3, b), (3, b), (3, b), (1, b)] for b in (4, 4, 3)]
    assert seen == list(zip([slice(0, 4), slice(4, 8), slice(8, 11)], each))
    assert encoded == [4, 4, 3]


def test_a_context_that_is_drawn_anew_is_encoded_anew() -> None:
    """In a hierarchy q(z₁|z₂) must see each chunk's own z₂: a model that draws twice through `draw`."""
    inner = MLPS.model

    class Hierarchy(torch.nn.Module):
        def terms(self, x: torch.Tensor, samples: int, *, c: Any, draw: Any) -> Any:
            noisy = (x + torch.rand(()) > 0.5).to(x)
            draw(inner.posterior, noisy, samples)
            return inner.terms(x, samples, c=c, draw=draw)

    calls: list[int] = []
    handle = inner.posterior.register_forward_hook(lambda m, args, out: calls.append(1))
    try:
        for _, chunks in terms_in_chunks(Hierarchy(), rows_of(2, inner), 6, Plan(2, 2)):
            assert len(list(chunks)) == 3
    finally:
        handle.remove()
    assert len(calls) == 6  # the one posterior alternates between two contexts, so nothing may be remembered


def test_the_plan_does_not_depend_on_what_was_drawn_before() -> None:
    x = rows_of(3, CONV.model)
    first = plan(CONV.model, x, 50, MEMORY)
    torch.rand(100)
    assert plan(CONV.model, x, 50, MEMORY) == first
    assert evaluate(CONV.model, x, samples=2).n == 3
