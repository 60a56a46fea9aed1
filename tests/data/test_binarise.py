"""Binarisation: what is drawn when, and that the protocol says so."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elbox.data import DynamicBinarise, Protocol, bernoulli_draw, from_array, load
from elbox.errors import DataError, SettingError
from elbox.spec import DataSpec

STATIC_MNIST = "fcb480e4fe387130bfdf6f9caa375fd4cd459b4e5ab0abee4aaa50bf5b554a1c"


def grey(n: int = 400, levels: int = 17) -> np.ndarray:
    return np.random.default_rng(0).integers(0, levels, size=(n, 6, 5))


def test_static_mnist_is_the_published_draw(data_dir: Path) -> None:
    data = load("mnist", data_dir=data_dir, binarise="static")
    rows = np.concatenate([getattr(data, part).x.numpy() for part in ("train", "valid", "test")]).reshape(70_000, 784)
    assert hashlib.sha256(np.packbits(rows, axis=1).tobytes()).hexdigest() == STATIC_MNIST
    assert data.protocol == "static binarisation of 256 levels: every pixel drawn once, seed 0"


def test_static_and_dynamic_hold_out_the_same_bits_and_differ_in_training() -> None:
    static, dynamic = (from_array(grey(), binarise=how) for how in ("static", "dynamic"))
    assert torch.equal(static.valid.x, dynamic.valid.x)
    assert torch.equal(static.test.x, dynamic.test.x)
    assert set(static.train.x.unique().tolist()) == {0, 1}
    assert dynamic.train.x.max() == 16


@given(levels=st.integers(2, 300), seed=st.integers(0, 20))
def test_ends_of_the_range_are_certain(levels: int, seed: int) -> None:
    x = np.array([[0, levels - 1] * 20])
    assert (bernoulli_draw(x, levels, seed) == [[0, 1] * 20]).all()
    torch.manual_seed(seed)
    assert torch.equal(DynamicBinarise(levels)(torch.from_numpy(x)), torch.tensor([[0.0, 1.0] * 20]))


def test_dynamic_draws_have_the_right_mean_and_change() -> None:
    data = from_array(grey(), binarise="dynamic")
    x = data.train.x[:50]
    p = x.float() / 16
    draws = torch.stack([data.prepare(x) for _ in range(400)])
    assert draws.dtype == torch.float32
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    z = (draws.mean(0) - p) / (p * (1 - p) / 400).sqrt().clamp_min(1e-9)
    z = z[(p > 0) & (p < 1)]
    assert z.abs().max() < 5  # 1500 pixels: beyond 5 standard errors once in 1200 seeds
    assert z.pow(2).mean().item() == pytest.approx(1, abs=0.2)
    assert not torch.equal(draws[0], draws[1])


def test_dynamic_draws_follow_the_global_seed() -> None:
    prepare, x = DynamicBinarise(256), torch.full((4, 100), 99, dtype=torch.uint8)
    torch.manual_seed(3)
    one = prepare(x)
    torch.manual_seed(3)
    assert torch.equal(one, prepare(x))


def test_nothing_is_drawn_in_evaluation_mode() -> None:
    data = from_array(grey(), binarise="dynamic")
    data.prepare.eval()
    assert torch.equal(data.prepare(data.test.x), data.test.x.float())


def test_held_out_sets_are_fixed_by_the_seed() -> None:
    one, two = (from_array(grey(), binarise="dynamic") for _ in range(2))
    assert torch.equal(one.test.x, two.test.x)
    x = np.repeat(grey(1), 500, axis=0)  # equal rows: the split has no say, only the draw
    draws = [from_array(x, binarise="static", seed=seed).test.x for seed in (0, 1)]
    assert not torch.equal(*draws)


def test_static_bits_are_bernoulli() -> None:
    x = np.full((2000, 50), 4)
    mean = bernoulli_draw(x, 17).mean()
    assert mean == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 1e5) ** 0.5)


@pytest.mark.parametrize(("levels", "highest_zero"), [(17, 8), (256, 127), (2, 0), (3, 1)])
def test_threshold(levels: int, highest_zero: int) -> None:
    bits = Protocol("threshold", levels).binarise(np.arange(levels))
    assert (bits == (np.arange(levels) > highest_zero)).all()


@pytest.mark.parametrize("how", ["static", "dynamic", "threshold"])
def test_spec_and_protocol_after_binarisation(how: str) -> None:
    data = load("digits", binarise=how)
    assert (data.spec.kind, data.spec.levels) == ("binary", 0)
    assert data.protocol.startswith(f"{how} binarisation of 17 levels")
    assert how in data.describe()
    assert data.binarisation.kind == how
    assert Protocol.from_json(data.binarisation.to_json()) == data.binarisation
    shares = data.prepare(data.train.x).mean(0).flatten().tolist()  # of one draw under "dynamic": s.e. at most 0.014
    assert data.spec.offset == pytest.approx(shares, abs=0.06)
    assert data.spec.scale == 1.0


def test_examples_are_what_the_model_sees() -> None:
    data = load("digits", binarise="dynamic")
    train = data.examples("train", 100)
    assert train.shape == (100, 1, 8, 8)
    assert set(train.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(train, data.examples("train", 100))
    assert torch.equal(data.examples("test"), data.test.x.float())
    assert torch.equal(data.stored("train", 100), train.byte())
    assert data.stored("train").dtype == data.stored("test").dtype == torch.uint8
    with pytest.raises(SettingError, match="train, valid, test"):
        data.examples("dev")


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.random.default_rng(0).random((50, 6, 5)), "real values in array.*255"),
        (np.random.default_rng(0).integers(0, 2, (50, 6, 5)), "binary already"),
        (np.random.default_rng(0).integers(0, 99, (50, 6)), "kind='levels'"),
    ],
)
def test_only_levels_can_be_binarised(x: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_array(x, binarise="static")


def test_unknown_protocol() -> None:
    with pytest.raises(SettingError, match="static, dynamic, threshold"):
        from_array(grey(), binarise="stochastic")
    with pytest.raises(SettingError, match="static, dynamic, threshold"):
        Protocol("stochastic")


def test_values_as_given_are_described() -> None:
    assert Protocol().describe(DataSpec((2,), "count")) == "counts as given"
    assert "units of the data" in Protocol().describe(DataSpec((2,), "real"))
    assert Protocol().describe(DataSpec((2,), "levels", levels=17)) == "levels 0…16 as given, not binarised"
