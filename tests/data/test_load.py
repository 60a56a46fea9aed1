"""Loading again, to the bit; and new data for a trained model."""

from __future__ import annotations

import ast
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import elbox.data
from elbox.data import Data, Protocol, as_examples, from_array, load, reload
from elbox.errors import DataError, SettingError
from elbox.spec import DataSpec

RNG = np.random.default_rng(0)


def same(one: Data, two: Data) -> bool:
    return one.spec == two.spec and all(
        torch.equal(getattr(one, part).x, getattr(two, part).x) for part in ("train", "valid", "test")
    )


@pytest.mark.parametrize("options", [{}, {"binarise": "dynamic"}, {"binarise": "static", "seed": 3}, {"kind": "real"}])
def test_reload_by_name(options: dict[str, object]) -> None:
    data = load("digits", **options)
    again = reload(json.loads(json.dumps(data.source)))
    assert same(data, again)
    assert again.source == data.source


def test_reload_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", RNG.normal(size=(50, 3)))
    monkeypatch.chdir(tmp_path)
    data = load("x.npy", seed=4)
    assert data.describe().startswith("x.npy: 40 train")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = reload(data.source)
    assert same(data, again)
    assert again.describe() == data.describe()


def test_reload_a_folder_of_images(tmp_path: Path) -> None:
    for i in range(6):
        Image.fromarray(RNG.integers(0, 256, (8 + i, 9)).astype(np.uint8)).save(tmp_path / f"{i}.png")
    data = load(tmp_path, size=(8, 10), levels=256, binarise="threshold")
    assert same(data, reload(json.loads(json.dumps(data.source))))


@pytest.mark.parametrize("change", ["value", "label", "rows"])
def test_changed_data_are_noticed(tmp_path: Path, change: str) -> None:
    x, y = RNG.normal(size=(50, 3)), np.arange(50) % 2
    np.savez(tmp_path / "a.npz", x=x, y=y)
    source = load(tmp_path / "a.npz").source
    if change == "value":
        x[17, 2] += 1e-3
    elif change == "label":
        y[3] = 0
    else:
        x, y = x[:-1], y[:-1]
    np.savez(tmp_path / "a.npz", x=x, y=y)
    with pytest.raises(DataError, match=r"a.npz that differ from those of the run"):
        reload(source)


def test_reload_an_array() -> None:
    x, y = RNG.normal(size=(50, 3)), np.arange(50) % 2
    data = from_array(x, y, split=(0.7, 0.2, 0.1), seed=2, name="mine")
    assert data.describe() == "mine: 35 train / 10 validation / 5 test, 3 columns, real-valued"
    assert same(data, reload(json.loads(json.dumps(data.source)), x=x, y=y))
    with pytest.raises(DataError, match=r"'mine' came from an array in memory.*pass it as x"):
        reload(data.source)
    with pytest.raises(DataError, match="differ"):
        reload(data.source, x=x + 1, y=y)


def test_reload_remembers_where_the_file_was(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("frey_faces", data_dir=data_dir)
    monkeypatch.delenv("ELBOX_DATA", raising=False)
    assert same(data, reload(data.source))


@pytest.mark.parametrize("kind", ["real", "count"])
@pytest.mark.parametrize("stream", [False, True])
def test_half_precision_is_read_without_a_warning(tmp_path: Path, kind: str, stream: bool) -> None:
    np.save(tmp_path / "half.npy", np.random.default_rng(0).poisson(3.0, (60, 4)).astype(np.float16))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path / "half.npy", kind=kind, stream=stream).spec.kind == kind
    np.save(tmp_path / "half.npy", np.array([[1, 2], [3, np.inf], [5, 6]], np.float16))
    with pytest.raises(DataError, match=r"got \+inf in .*half.npy"):
        load(tmp_path / "half.npy", kind=kind, stream=stream)


def test_importing_brings_only_what_loading_needs() -> None:
    allowed = {"torch", "numpy", "elbox", *sys.stdlib_module_names}
    for file in Path(elbox.data.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = [a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names]
        names += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
        assert {name.split(".")[0] for name in names} <= allowed, file
        inside = {".".join(name.split(".")[:2]) for name in names if name.startswith("elbox")}
        assert inside <= {"elbox.data", "elbox.spec", "elbox.errors"}, file


def test_reload_of_something_else() -> None:
    with pytest.raises(DataError, match="without name, options, fingerprint"):
        reload({"from": "file"})


def test_a_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert len(load("digits").train) == 1437
    with pytest.raises(DataError, match=r"folder ./digits without any image"):
        load("./digits")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "colour"}, "binary, levels, real, count, unit, positive, complex"),
        ({"levels": 1}, "2 to 65536"),
        ({"levels": 9, "kind": "real"}, "of kind 'levels'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_impossible_options(options: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        load("digits", **options)


SPEC = DataSpec((1, 4, 5), "levels", levels=17)


@pytest.mark.parametrize("shape", [(3, 1, 4, 5), (3, 4, 5), (3, 20), (1, 4, 5), (4, 5)])
def test_examples_of_any_layout(shape: tuple[int, ...]) -> None:
    x = RNG.integers(0, 17, shape)
    rows = as_examples(x, DataSpec((4, 5) if shape == (4, 5) else (1, 4, 5), "levels", levels=17))
    np.testing.assert_array_equal(rows.numpy().reshape(-1), x.reshape(-1))
    assert rows.dtype == torch.uint8
    assert as_examples(torch.from_numpy(x), SPEC).shape[1:] == (1, 4, 5) if shape != (4, 5) else True


def test_one_row_of_a_table() -> None:
    assert as_examples([1.0, 2.0, 3.0], DataSpec((3,))).tolist() == [[1.0, 2.0, 3.0]]


def test_channels_last_examples() -> None:
    x = RNG.integers(0, 256, (6, 8, 9, 3)).astype(np.uint8)
    rows = as_examples(x, DataSpec((3, 8, 9), "levels", levels=256))
    np.testing.assert_array_equal(rows.numpy(), np.moveaxis(x, -1, 1))


@pytest.mark.parametrize("how", ["static", "dynamic", "threshold"])
def test_new_grey_data_are_binarised_like_the_training_data(how: str) -> None:
    data = load("digits", binarise=how)
    x = load("digits").test.x
    rows = as_examples(x, data.spec, protocol=data.binarisation)
    assert set(rows.unique().tolist()) == {0, 1}
    assert torch.equal(rows, as_examples(x, data.spec, protocol=data.binarisation))
    assert torch.equal(as_examples(data.test.x, data.spec, protocol=data.binarisation), data.test.x)
    wrong = x.clone()
    wrong[2, 0, 3, 3] = 99
    with pytest.raises(DataError, match="got 99 in new, row 2, pixel"):
        as_examples(wrong, data.spec, where="new", protocol=data.binarisation)


@pytest.mark.parametrize(
    ("x", "spec", "says"),
    [
        (np.zeros((3, 6)), SPEC, r"shape \(3, 6\) in new; expected \[N, 1, 4, 5\] as in training"),
        (np.zeros((3, 2)), DataSpec((3,)), r"shape \(3, 2\) in new; expected \[N, 3\]"),
        (np.zeros((0, 20)), SPEC, "empty"),
        (np.full((3, 20), 17), SPEC, r"got 17 in new, row 0, pixel \(0, 0, 0\); expected whole numbers 0 … 16"),
        (np.full((3, 20), 0.5), SPEC, r"got 0.5 in new"),
        (np.full((3, 2), 3), DataSpec((2,), "binary"), r"got 3 in new, row 0, column 0; expected 0 or 1"),
        (np.array([[1, 2], [1, -2]]), DataSpec((2,), "count"), r"got -2 in new, row 1, column 1; expected whole"),
        (np.array([[1, 2], [1, np.nan]]), DataSpec((2,)), r"got NaN in new, row 1, column 1"),
    ],
)
def test_new_data_that_do_not_fit(x: np.ndarray, spec: DataSpec, says: str) -> None:
    with pytest.raises(DataError, match=says):
        as_examples(x, spec, where="new")


def test_new_files(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("b,c,a\n2.5,9,1\n4,9,3\n")
    spec = DataSpec((2,))
    rows = as_examples(tmp_path / "new.csv", spec, columns=("a", "b"))
    assert rows.tolist() == [[1, 2.5], [3, 4]]
    with pytest.raises(DataError, match=r"new.csv without the column 'd'"):
        as_examples(tmp_path / "new.csv", spec, columns=("a", "d"))
    for i in range(3):
        Image.fromarray(RNG.integers(0, 256, (9 + i, 9, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
    assert as_examples(tmp_path, DataSpec((1, 8, 8), "levels", levels=256)).shape == (3, 1, 8, 8)
    assert as_examples(tmp_path, DataSpec((1, 8, 8), "binary"), protocol=Protocol("static", 256)).max() == 1
