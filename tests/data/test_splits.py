"""Splits: disjoint, complete, seeded, and none too small."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elbox.data import from_array, load, random_split
from elbox.data.raw import Where
from elbox.data.splits import complete_split
from elbox.errors import DataError, SettingError

PARTS = ("train", "valid", "test")


@given(n=st.integers(3, 400), seed=st.integers(0, 5), valid=st.floats(0.01, 0.3), test=st.floats(0.01, 0.3))
def test_parts_are_disjoint_and_cover_every_row(n: int, seed: int, valid: float, test: float) -> None:
    parts = random_split(n, (1 - valid - test, valid, test), seed)
    assert list(parts) == list(PARTS)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(n))
    assert min(len(rows) for rows in parts.values()) >= 1
    assert abs(len(parts["test"]) - n * test) <= 1


def test_seed_decides() -> None:
    same = [random_split(100, seed=3)["train"] for _ in range(2)]
    assert (same[0] == same[1]).all()
    assert (same[0] != random_split(100, seed=4)["train"]).any()


def test_a_fraction_of_zero_is_an_empty_part() -> None:
    data = from_array(np.random.default_rng(0).normal(size=(20, 2)), split=(1.0, 0.0, 0.0))
    assert (len(data.train), len(data.valid), len(data.test)) == (20, 0, 0)


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_impossible_fractions(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(SettingError, match="three fractions"):
        random_split(100, fractions)


def test_too_few_rows_and_bad_seed() -> None:
    with pytest.raises(DataError, match="got 2 rows in x; expected at least 3"):
        random_split(2, where=Where("x"))
    with pytest.raises(SettingError, match="seed=-1"):
        random_split(10, seed=-1)


def test_validation_comes_out_of_train_and_never_out_of_test() -> None:
    whole = {"train": np.arange(10, 110), "test": np.arange(10)}
    parts = complete_split(whole, seed=1)
    assert set(parts["train"]) | set(parts["valid"]) == set(whole["train"])
    assert not set(parts["train"]) & set(parts["valid"])
    assert (parts["test"] == whole["test"]).all()
    assert len(parts["valid"]) == 10


def test_rows_follow_the_indices_with_their_labels() -> None:
    x = np.arange(300, dtype=np.float32).reshape(100, 3)
    data = from_array(x, np.arange(100) % 4)
    for part in PARTS:
        split = getattr(data, part)
        rows = data.indices[part]
        assert torch.equal(split.x, torch.from_numpy(x[rows]))
        assert torch.equal(split.y, torch.from_numpy(rows % 4))
        assert split.y.dtype == torch.int64
        assert len(split) == len(rows)


@pytest.mark.parametrize("rows", [[0], [3, 3], []])
def test_splits_that_overlap_are_noticed(rows: list[int]) -> None:
    data = from_array(np.arange(30.0).reshape(10, 3))
    indices = {"train": np.array([0, 1, 2]), "valid": np.array(rows, int), "test": np.array([9])}
    with pytest.raises(AssertionError, match="overlap") if rows else nullcontext():
        replace(data, indices=indices)


def test_the_users_array_is_copied() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    data = from_array(x)
    before = data.train.x.clone()
    x += 1
    assert torch.equal(data.train.x, before)


@pytest.mark.parametrize("name", ["digits", "banana", "belief_net"])
def test_sets_without_files(name: str) -> None:
    one, two = load(name), load(name)
    rows = np.concatenate([one.indices[part] for part in PARTS])
    assert len(np.unique(rows)) == len(rows) == sum(len(getattr(one, part)) for part in PARTS)
    assert torch.equal(one.test.x, two.test.x)
    assert not torch.equal(one.test.x, load(name, seed=1).test.x)
    assert json.loads(json.dumps(one.source)) == one.source


def test_digits_are_described() -> None:
    data = load("digits")
    assert data.describe() == "digits: 1437 train / 180 validation / 180 test, 1×8×8, levels 0…16"
    assert data.spec.event_shape == (1, 8, 8)
    assert (data.spec.kind, data.spec.levels, data.spec.classes) == ("levels", 17, 10)
    assert data.class_names == tuple("0123456789")
    assert data.train.x.dtype == torch.uint8


def test_offset_and_scale_are_those_of_training() -> None:
    digits = load("digits")
    rows = digits.train.x.double().flatten(1)
    assert digits.spec.offset == pytest.approx(rows.mean(0).tolist(), rel=1e-6)
    assert digits.spec.scale == pytest.approx(rows.var(0, correction=0).mean().sqrt().item(), rel=1e-6)
    table = from_array(np.random.default_rng(0).normal([3, 1e4], [0.1, 50], size=(500, 2)))
    assert table.spec.offset == pytest.approx(table.train.x.double().mean(0).tolist(), rel=1e-6)
    assert table.spec.scale == pytest.approx(table.train.x.double().std(0, correction=0).tolist(), rel=1e-6)
