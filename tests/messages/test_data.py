"""What is said of bad data: one sentence with the file, the first offending row, and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from elbox.data import from_array, load
from elbox.errors import DataError

RNG = np.random.default_rng(0)


def table(**cells: float) -> np.ndarray:
    x = RNG.normal(size=(40, 3))
    for place, value in cells.items():
        row, column = place[1:].split("_")
        x[int(row), int(column)] = value
    return x


def spoilt(x: np.ndarray, index: tuple[int, ...], value: float) -> np.ndarray:
    x[index] = value
    return x


ARRAYS: dict[str, tuple[Callable[[], object], dict[str, object], str]] = {
    "NaN": (lambda: table(r17_2=np.nan), {}, "got NaN in array, row 17, column 2; expected .*; fill in or drop"),
    "first of several": (
        lambda: table(r30_0=np.nan, r4_1=np.inf),
        {},
        r"got \+inf in array, row 4, column 1; .*drop or clip",
    ),
    "minus infinity": (lambda: table(r3_0=-np.inf), {}, "got -inf in array, row 3, column 0"),
    "too large": (lambda: table(r3_0=1e300), {}, r"got 1e\+300 in array, row 3.*32-bit floats; rescale"),
    "NaN pixel": (lambda: spoilt(RNG.random((9, 4, 6)), (5, 3, 1), np.nan), {}, r"row 5, pixel \(0, 3, 1\)"),
    "constant column": (
        lambda: np.column_stack([RNG.normal(size=40), np.full(40, 2.5)]),
        {},
        "column 1 of array with the value 2.5 in every training row; .*; drop it",
    ),
    "two constant columns": (lambda: np.eye(1, 3) + np.zeros((40, 3)) + 0.5, {}, "drop it and 2 more like it"),
    "constant images": (lambda: np.full((20, 4, 4), 9, np.uint8), {}, "got the value 9 everywhere .* of array"),
    "constant after threshold": (
        lambda: RNG.integers(0, 99, (20, 4, 4)).astype(np.uint8),
        {"binarise": "threshold"},
        "the value 0 everywhere in the training rows of array after threshold binarisation",
    ),
    "seconds since 1970": (
        lambda: np.column_stack([RNG.normal(size=200), 1.7e9 + RNG.uniform(0, 600, 200)]),
        {},
        r"column 1 of array with values near 1.7e\+09 that vary by .* only; .*; subtract a constant",
    ),
    "vector": (lambda: np.arange(5.0), {}, r"shape \(5,\) in array; expected \[N, D\].*x.reshape\(-1, 1\)"),
    "five axes": (lambda: np.zeros((2, 1, 3, 4, 5)), {}, r"shape \(2, 1, 3, 4, 5\) in array; .*; reshape it"),
    "empty": (lambda: np.zeros((0, 3)), {}, r"empty array of shape \(0, 3\) in array; expected at least one row"),
    "mixed sizes": (
        lambda: [np.zeros((4, 4)), np.zeros((4, 4)), np.zeros((4, 5))],
        {},
        r"mixed sizes in array: row 0 has shape \(4, 4\) and row 2 has \(4, 5\); .*; crop, pad or resize",
    ),
    "text": (lambda: np.array([["a", "b"]]), {}, "values of type <U1 in array; .*; encode text"),
    "complex colours": (
        lambda: np.ones((4, 3, 8, 8), complex),
        {},
        r"shape \(4, 2, 3, 8, 8\) in array; .*; reshape it",
    ),
    "complex table of real numbers": (
        lambda: RNG.normal(size=(30, 4)),
        {"kind": "complex"},
        r"complex data of event shape \(4,\); expected \(2, ...\), .*: give an array of complex numbers, or stack both",
    ),
    "beyond the unit interval": (
        lambda: spoilt(RNG.random((30, 4)), (7, 2), 1.5),
        {"kind": "unit"},
        r"got 1.5 in array, row 7, column 2; expected values in \[0, 1\]; divide by the largest possible value",
    ),
    "zero among positive values": (
        lambda: spoilt(RNG.exponential(size=(30, 4)), (7, 2), 0),
        {"kind": "positive"},
        r"got 0 in array, row 7, column 2; expected values > 0; use kind='real'",
    ),
    "zero once it is stored": (
        lambda: spoilt(RNG.exponential(size=(30, 4)), (7, 2), 1e-50),
        {"kind": "positive"},
        r"got 1e-50 in array, row 7, column 2; expected values > 0",
    ),
    "constant column of positive values": (
        lambda: np.column_stack([RNG.exponential(size=30), np.ones(30)]),
        {"kind": "positive"},
        r"got column 1 of array with the value 1 in every training row",
    ),
    "few rows": (lambda: np.zeros((2, 2)), {}, "got 2 rows in array; expected at least 3"),
    "not binary": (
        lambda: spoilt(RNG.integers(0, 2, (30, 4, 4)), (7, 2, 1), 3),
        {"kind": "binary"},
        r"got 3 in array, row 7, pixel \(0, 2, 1\); expected 0 or 1 .*; binarise grey levels",
    ),
    "level too high": (
        lambda: spoilt(RNG.integers(0, 17, (30, 4, 4)), (7, 2, 1), 17),
        {"levels": 17},
        r"got 17 in array, row 7, pixel \(0, 2, 1\); expected whole numbers 0 … 16 .*; give the right number of levels",
    ),
    "levels as fractions": (
        lambda: np.full((30, 4, 4), 0.25),
        {"levels": 256},
        "got 0.25 in array, row 0.*multiply by 255 and round",
    ),
    "negative count": (
        lambda: spoilt(RNG.integers(0, 9, (30, 4)), (7, 2), -1),
        {"kind": "count"},
        r"got -1 in array, row 7, column 2; expected whole numbers ≥ 0 \(counts\); use kind='real'",
    ),
    "fraction as count": (lambda: table(r0_0=0.5), {"kind": "count"}, r"got 0.5 in array, row 0.*counts"),
    "count too large": (
        lambda: spoilt(RNG.integers(0, 9, (30, 4)), (7, 2), 2**25),
        {"kind": "count"},
        r"array, row 7, column 2; expected counts up to 16777216",
    ),
}


def sentence(error: pytest.ExceptionInfo[DataError]) -> str:
    text = str(error.value)
    assert text.startswith("got ")
    assert "; expected " in text or "expected" in text
    assert "\n" not in text
    assert not text.endswith(".")
    return text


@pytest.mark.parametrize(("make", "options", "says"), ARRAYS.values(), ids=ARRAYS.keys())
def test_arrays(make: Callable[[], object], options: dict[str, object], says: str) -> None:
    with pytest.raises(DataError) as error:
        from_array(make(), **options)
    assert re.search(says, sentence(error)), error.value


def test_tensors() -> None:
    x = torch.randn(20, 3)
    x[5, 1] = torch.nan
    with pytest.raises(DataError, match="got NaN in weights, row 5, column 1"):
        from_array(x, name="weights")


@pytest.mark.parametrize(
    ("y", "says"),
    [
        (np.zeros(39), r"labels of shape \(39,\) with 40 rows in array; expected one label a row"),
        (np.zeros((40, 2)), r"labels of shape \(40, 2\)"),
        (np.linspace(0, 1.5, 40), r"the label 0.0384615 in array, row 1; expected whole numbers or text"),
        (np.full(40, np.nan), r"the label nan in array, row 0"),
    ],
)
def test_labels(y: np.ndarray, says: str) -> None:
    with pytest.raises(DataError) as error:
        from_array(table(), y)
    assert re.search(says, sentence(error)), error.value


TEXTS = {
    "word": (
        "pH,alcohol\n1,2\n3,high\n",
        r"got 'high' in FILE, line 3, column 'alcohol'; expected numbers.*encode text",
    ),
    "hole": ("pH,alcohol\n1,2\n,3\n", r"got an empty cell in FILE, line 3, column 'pH'; .*; fill in or drop"),
    "NaN": ("pH,alcohol\n1,2\n\n5,nan\n", r"got NaN in FILE, line 4, column 'alcohol'; .*; fill in or drop"),
    "infinity": ("1.5,2\n5,inf\n", r"got \+inf in FILE, line 2, column 1"),
    "short line": ("pH,alcohol\n1,2\n3\n", r"got 1 cell in FILE, line 3; expected 2"),
    "long line": ("1,2\n3,4,5\n", r"got 3 cells in FILE, line 2; expected 2"),
    "header of another length": ("a,b,c\n1,2\n3,4\n", r"got 2 cells in FILE, line 2; expected 3"),
    "half a header": (
        "1,b\n1,2\n3,4\n",
        r"got 'b' in FILE, line 1, column 1; expected numbers, below at most one line",
    ),
    "row numbers": (
        ",a,b\n0,1.5,2\n1,3,4\n",
        r"first column without a name in FILE.*; save the table without its index",
    ),
    "only names": ("pH,alcohol\n", r"got FILE with names and no row"),
    "nothing": ("\n\n", r"got the empty file FILE"),
    "constant column": ("pH,alcohol\n" + "1.5,2\n1.5,3\n" * 9, r"column 'pH' of FILE with the value 1.5 in every"),
}


@pytest.mark.parametrize(("text", "says"), TEXTS.values(), ids=TEXTS.keys())
def test_text_files(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as error:
        load(path)
    assert re.search(says.replace("FILE", re.escape(str(path))), sentence(error)), error.value


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    np.save(tmp_path / "whole.npy", RNG.normal(size=(50, 3)))
    content = (tmp_path / "whole.npy").read_bytes()
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    np.savez(tmp_path / "many.npz", a=np.zeros(3), b=np.zeros(3))
    np.savez(tmp_path / "shapes.npz", x_train=np.zeros((9, 3)), x_test=np.zeros((9, 4)))
    np.savez(tmp_path / "labels.npz", x_train=np.zeros((9, 3)), x_test=np.zeros((9, 3)), y_train=np.zeros(9))
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    cases = {
        tmp_path / "missing.npy": "missing.npy, which does not exist; .*; check the path",
        write("cut.npy", content[:200]): "cut.npy, which numpy cannot read .*; save it again",
        write("empty.npy", b""): "empty.npy, which numpy cannot read",
        write("no.npz", b"no archive"): "no.npz, which numpy cannot read",
        tmp_path / "objects.npy": "Python objects in .*objects.npy; .*no pickle",
        tmp_path / "objects.npz": "Python objects in .*objects.npz",
        tmp_path / "many.npz": "got the arrays a, b in .*many.npz; expected x .*; rename them",
        tmp_path / "shapes.npz": r"different shapes in .*shapes.npz: x_train \(3,\), x_test \(4,\)",
        tmp_path / "labels.npz": "labels for some splits of .*labels.npz only",
        tmp_path / "none.npy": r"empty array of shape \(0, 3\) in .*none.npy",
        write("latin.csv", b"caf\xe9,b\n1,2\n"): "latin.csv, which is not UTF-8 text",
        write("data.xlsx", b"PK"): r"data.xlsx; expected .npy, .npz, .csv",
    }
    for path, says in cases.items():
        with pytest.raises(DataError) as error:
            load(path)
        assert re.search(says, sentence(error)), error.value


def test_damaged_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra elbox[tables] is not installed")
    (tmp_path / "t.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(DataError, match=r"t.parquet, which pyarrow cannot read"):
        load(tmp_path / "t.parquet")


def test_folders(tmp_path: Path) -> None:
    from PIL import Image

    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert "without any image; expected PNG or JPEG" in sentence(error)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert "none can be read as an image" in sentence(error)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "cats").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "cats" / "b.png")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert re.search(r"images both in .*a.png.* and in its subfolder cats", sentence(error))


def test_unknown_names() -> None:
    with pytest.raises(DataError) as error:
        load("mnits")
    assert "expected one of digits, mnist, " in sentence(error)
    assert str(error.value).endswith("did you mean mnist?")
    with pytest.raises(DataError, match=r"a file, or a folder of \.npy, \.parquet or image files; check the name"):
        load("weather")
