"""Named sets: their splits, where their files are looked for, and what is said if they are nowhere."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets
import torch

from elbox.data import CATALOGUE, describe_catalogue, load
from elbox.errors import DataError

SIZES = {
    "mnist": (50_000, 10_000, 10_000),
    "fashion_mnist": (50_000, 10_000, 10_000),
    "omniglot": (21_911, 2_434, 8_115),
    "frey_faces": (1_565, 200, 200),
}


def arrays(data_dir: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(data_dir / f"{name}.npz", allow_pickle=False) as z:
        return dict(z)


@pytest.mark.parametrize("name", SIZES)
def test_sizes(data_dir: Path, name: str) -> None:
    data = load(name, data_dir=data_dir)
    assert (len(data.train), len(data.valid), len(data.test)) == SIZES[name]
    assert (data.spec.kind, data.spec.levels) == ("levels", 256)
    assert data.train.x.dtype == torch.uint8
    rows = np.concatenate(list(data.indices.values()))
    assert len(np.unique(rows)) == sum(SIZES[name])


def test_mnist_is_split_as_usual(data_dir: Path) -> None:
    data, z = load("mnist", data_dir=data_dir, seed=5), arrays(data_dir, "mnist")
    np.testing.assert_array_equal(data.train.x[:, 0].numpy(), z["x_train"][:50_000])
    np.testing.assert_array_equal(data.valid.x[:, 0].numpy(), z["x_train"][50_000:])
    np.testing.assert_array_equal(data.test.x[:, 0].numpy(), z["x_test"])
    assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]


def test_omniglot_tests_on_its_own_test_rows(data_dir: Path) -> None:
    data, z = load("omniglot", data_dir=data_dir), arrays(data_dir, "omniglot28")
    assert not z["train"][data.indices["test"]].any()
    assert z["train"][data.indices["train"]].all()
    assert z["train"][data.indices["valid"]].all()
    assert data.class_names[data.train.y[0]] == z["alphabet_names"][z["alphabet"][data.indices["train"][0]]]


def test_fixed_splits_do_not_follow_the_seed(data_dir: Path) -> None:
    for name in ("omniglot", "frey_faces"):
        one, two = (load(name, data_dir=data_dir, seed=seed) for seed in (0, 1))
        assert all((one.indices[part] == two.indices[part]).all() for part in one.indices)


def test_environment_names_the_folder(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELBOX_DATA", str(data_dir))
    assert load("frey_faces").source["path"] == str((data_dir / "frey_faces.npz").resolve())


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELBOX_DATA", raising=False)


@pytest.mark.usefixtures("no_files")
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_without_files_and_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", offline)
    with pytest.raises(DataError, match=rf"Name or service.*{name}.npz .x_train.*ELBOX_DATA or --data-dir"):
        load(name)


@pytest.mark.usefixtures("no_files")
def test_public_original(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(name: str, **kwargs: object) -> SimpleNamespace:
        asked.append((name, kwargs))
        data = np.zeros((70_000, 784), np.int64)
        data[:, 0] = np.arange(70_000) % 256
        return SimpleNamespace(data=data, target=np.array([str(i % 10) for i in range(70_000)], dtype=object))

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    data = load("mnist")
    assert asked == [("mnist_784", {"version": 1, "as_frame": False})]
    assert (len(data.train), len(data.test)) == (50_000, 10_000)
    assert data.test.x[0, 0, 0, 0] == 60_000 % 256
    assert data.train.y[:3].tolist() == [0, 1, 2]
    assert data.source["openml"] == "mnist_784"


@pytest.mark.usefixtures("no_files")
@pytest.mark.parametrize(("name", "file"), [("omniglot", "omniglot28.npz"), ("frey_faces", "frey_faces.npz")])
def test_sets_without_a_public_original(name: str, file: str) -> None:
    with pytest.raises(DataError, match=rf"got no {file}.*ELBOX_DATA or --data-dir"):
        load(name)


def test_a_named_folder_must_have_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"without mnist.npz"):
        load("mnist", data_dir=tmp_path)


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "mnist.npz").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(DataError, match=r"mnist.npz, which numpy cannot read"):
        load("mnist", data_dir=tmp_path)
    np.savez(tmp_path / "mnist.npz", a=np.zeros(3))
    with pytest.raises(DataError, match=r"with the arrays a; expected x_train"):
        load("mnist", data_dir=tmp_path)
    np.savez(
        tmp_path / "mnist.npz", x_train=np.zeros((3, 2, 2)), y_train=[1] * 3, x_test=np.zeros((1, 2, 2)), y_test=[1]
    )
    with pytest.raises(DataError, match=r"\(4, 2, 2\) for mnist; expected \(70000, 28, 28\)"):
        load("mnist", data_dir=tmp_path)


def test_every_set_is_described() -> None:
    lines = describe_catalogue()
    assert list(lines) == list(CATALOGUE)
    assert all(line.endswith(".") for line in lines.values())
