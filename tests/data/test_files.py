"""The user's own files: .npy, .npz, text and parquet tables, folders of images."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from elbox.data import load
from elbox.data.memory import _group_memory, available_memory
from elbox.errors import DataError, SettingError

RNG = np.random.default_rng(0)


def whole(data) -> np.ndarray:
    """Rows in the order of the source."""
    rows = np.concatenate([data.indices[p] for p in ("train", "valid", "test")])
    x = np.concatenate([getattr(data, p).x.numpy() for p in ("train", "valid", "test")])
    return x[np.argsort(rows)]


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path: Path, order: str) -> None:
    x = np.asarray(RNG.normal(size=(50, 4)), order=order)
    np.save(tmp_path / "x.npy", x)
    data = load(tmp_path / "x.npy")
    np.testing.assert_array_equal(whole(data), x.astype(np.float32))
    assert data.source["path"] == str(tmp_path / "x.npy")
    assert data.train.x.is_contiguous()


def test_npy_does_not_stay_tied_to_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RNG.integers(0, 256, (50, 8, 8)).astype(np.uint8))
    data = load(tmp_path / "x.npy")
    before = data.train.x.clone()
    np.save(tmp_path / "x.npy", np.zeros((50, 8, 8), np.uint8))
    data.train.x[0] += 0  # writable
    assert torch.equal(data.train.x, before)


@pytest.mark.parametrize("keys", [("x", "y"), ("X", "Y")])
def test_npz_of_rows_and_labels(tmp_path: Path, keys: tuple[str, str]) -> None:
    x, y = RNG.integers(0, 256, (40, 8, 8)).astype(np.uint8), np.arange(40) % 3
    np.savez(tmp_path / "a.npz", **{keys[0]: x, keys[1]: y})
    data = load(tmp_path / "a.npz")
    np.testing.assert_array_equal(whole(data)[:, 0], x)
    assert data.spec.classes == 3


def test_npz_of_one_array_whatever_its_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", RNG.normal(size=(40, 3)))
    assert load(tmp_path / "a.npz").spec.event_shape == (3,)


@pytest.mark.parametrize("valid", ["x_valid", "x_val", None])
def test_npz_of_splits(tmp_path: Path, valid: str | None) -> None:
    parts = {"x_train": RNG.normal(size=(50, 3)), "x_test": RNG.normal(size=(7, 3))}
    if valid:
        parts[valid] = RNG.normal(size=(9, 3))
    np.savez(tmp_path / "a.npz", **parts)
    data = load(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.test.x.numpy(), parts["x_test"].astype(np.float32))
    assert len(data.valid) == (9 if valid else 5)
    if valid:
        np.testing.assert_array_equal(data.train.x.numpy(), parts["x_train"].astype(np.float32))


TEXTS = {
    "header": "pH,alcohol\n1.5,2\n3,4.25\n5,6e-1\n7,8\n",
    "no header": "1.5,2\n3,4.25\n5,6e-1\n7,8\n",
    "semicolon": '"pH";"alcohol"\n1.5;2\n3;4.25\n5;6e-1\n7;8\n',
    "tab": "pH\talcohol\n1.5\t2\n3\t4.25\n5\t6e-1\n7\t8",
    "spaces": "1.5 2\n3   4.25\n5 6e-1\n7 8\n",
    "windows, blank lines, mark": "\ufeffpH,alcohol\r\n1.5,2\r\n\r\n3,4.25\r\n5,6e-1\r\n7,8\r\n\r\n",
    "quoted": '"pH","alcohol"\n"1.5","2"\n"3","4.25"\n"5","6e-1"\n"7","8"\n',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_csv(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wine.csv"
    path.write_bytes(text.encode())
    data = load(path)
    np.testing.assert_allclose(whole(data), [[1.5, 2], [3, 4.25], [5, 0.6], [7, 8]], rtol=1e-6)
    assert data.spec.kind == "real"
    assert data.columns == (("pH", "alcohol") if "pH" in text else ())


def test_csv_of_whole_numbers_is_counts(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("a,b\n" + "".join(f"{i},{i * 3}\n" for i in range(20)))
    data = load(tmp_path / "n.csv")
    assert data.spec.kind == "count"
    assert load(tmp_path / "n.csv", kind="real").spec.kind == "real"


def test_csv_with_columns_that_pandas_numbered(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("0,1,2\n" + "".join(f"{i}.5,{i * 3},7{i}\n" for i in range(20)))
    data = load(tmp_path / "n.csv")
    assert data.columns == ("0", "1", "2")
    assert len(whole(data)) == 20


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra elbox[tables] is not installed")
    import pyarrow.parquet as pq

    a, b = RNG.normal(size=30), RNG.integers(0, 9, 30)
    pq.write_table(pa.table({"a": a, "b": b, "__index_level_0__": np.arange(30)}), tmp_path / "t.parquet")
    data = load(tmp_path / "t.parquet")
    np.testing.assert_allclose(whole(data), np.column_stack([a, b]), rtol=1e-6)
    assert data.columns == ("a", "b")
    pq.write_table(pa.table({"b": b}), tmp_path / "n.parquet")
    assert load(tmp_path / "n.parquet").spec.kind == "count"
    pq.write_table(pa.table({"a": a, "b": [None, *b[1:].tolist()]}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match=r"NaN in .*m.parquet, row 0, column 'b'"):
        load(tmp_path / "m.parquet")
    pq.write_table(pa.table({"a": a, "name": ["x"] * 30}), tmp_path / "s.parquet")
    with pytest.raises(DataError, match=r"column 'name' of type string"):
        load(tmp_path / "s.parquet")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r'pip install "elbox\[tables\]"'):
        load(tmp_path / "t.parquet")


def picture(path: Path, mode: str = "L", size: tuple[int, int] = (10, 8), value: int | None = None) -> np.ndarray:
    """A random image of height 8 and width 10, saved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,)}[mode]
    pixels = RNG.integers(0, 256, (size[1], size[0], *bands)).astype(np.uint8)
    pixels = pixels if value is None else np.full_like(pixels, value)
    Image.fromarray(pixels, mode=mode).save(path) if mode == "LA" else Image.fromarray(pixels).save(path)
    return pixels


def test_folder_of_classes(tmp_path: Path) -> None:
    want = np.stack([picture(tmp_path / c / f"{i}.png") for c in ("ant", "bee") for i in range(9)])
    picture(tmp_path / ".cache" / "thumb.png", size=(3, 3))
    (tmp_path / "notes.txt").write_text("not an image")
    data = load(tmp_path)
    np.testing.assert_array_equal(whole(data)[:, 0], want)
    assert data.spec.event_shape == (1, 8, 10)
    assert (data.spec.kind, data.spec.levels, data.class_names) == ("levels", 256, ("ant", "bee"))
    assert torch.equal(data.train.y, torch.from_numpy((data.indices["train"] >= 9).astype(np.int64)))


def test_colours_and_transparency(tmp_path: Path) -> None:
    want = [picture(tmp_path / f"{i}.png", "RGBA" if i % 2 else "RGB")[..., :3] for i in range(8)]
    grey = picture(tmp_path / "8.png")
    data = load(tmp_path)
    assert data.spec.event_shape == (3, 8, 10)
    np.testing.assert_array_equal(whole(data)[:8], np.moveaxis(np.stack(want), -1, 1))
    np.testing.assert_array_equal(whole(data)[8], np.broadcast_to(grey, (3, 8, 10)))


def test_grey_stays_one_channel_and_the_majority_decides(tmp_path: Path) -> None:
    for i in range(5):
        picture(tmp_path / f"{i}.png", "LA" if i else "L")
    picture(tmp_path / "5.jpg", "RGB")
    assert load(tmp_path).spec.event_shape == (1, 8, 10)


def test_sixteen_bits_are_cut_to_eight(tmp_path: Path) -> None:
    for i in range(4):
        Image.fromarray((np.arange(80).reshape(8, 10) * 800 + i).astype(np.uint16)).save(tmp_path / f"{i}.png")
    assert (whole(load(tmp_path))[0, 0] == np.arange(80).reshape(8, 10) * 800 // 256).all()


def test_camera_orientation_is_applied(tmp_path: Path) -> None:
    for i in range(4):
        image = Image.fromarray(RNG.integers(0, 256, (8, 10)).astype(np.uint8))
        exif = image.getexif()
        exif[274] = 6
        image.save(tmp_path / f"{i}.jpg", exif=exif)
    assert load(tmp_path).spec.event_shape == (1, 10, 8)


def test_broken_files_are_left_out_counted_and_named(tmp_path: Path) -> None:
    for i in range(6):
        picture(tmp_path / f"{i}.png", size=(40, 40))
    (tmp_path / "broken.png").write_bytes(b"no image")
    cut = (tmp_path / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(cut[: len(cut) // 2])
    with pytest.warns(UserWarning, match=r"left out 2 of 8 image files .* the first is broken.png"):
        data = load(tmp_path)
    assert data.source["unreadable"] == {"count": 2, "first": "broken.png"}
    assert len(whole(data)) == 6


def test_mixed_sizes_need_a_size(tmp_path: Path) -> None:
    for i in range(5):
        picture(tmp_path / f"{i}.png", size=(10, 8) if i else (12, 12), value=7 * i)
    with pytest.raises(DataError, match=r"0.png is 12×12 and 1.png is 8×10 \(height × width\).*size=\(8, 10\)"):
        load(tmp_path)
    data = load(tmp_path, size=16)
    assert data.spec.event_shape == (1, 16, 16)
    assert (whole(data)[:, 0, 0, 0] == 7 * np.arange(5)).all()
    assert load(tmp_path, size=(6, 9)).spec.event_shape == (1, 6, 9)


def test_resizing_averages(tmp_path: Path) -> None:
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)
    for i in range(4):
        Image.fromarray(board if i else board // 2).save(tmp_path / f"{i}.png")
    assert abs(whole(load(tmp_path, size=4))[1].astype(int) - 127).max() <= 2


def test_too_large_a_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elbox.data.memory.available_memory", lambda: 3_000_000_000)
    np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.float32, shape=(2_500_000, 1000))  # sparse
    with pytest.raises(DataError, match=r"big.npy of 10.0 GB, which needs 20.0 GB of memory with 3.0 GB available"):
        load(tmp_path / "big.npy", stream=False)
    for name in ("a.npz", "a.csv"):
        np.savez(tmp_path / "a.npz", RNG.normal(size=(40, 3)))
        (tmp_path / "a.csv").write_text("1,2\n3,4\n")
        monkeypatch.setattr("elbox.data.memory.available_memory", lambda: 10)
        with pytest.raises(DataError, match="memory"):
            load(tmp_path / name)


def group(folder: Path, limit: str, used: int, *, version: int = 2) -> None:
    """A control group as Linux shows it, of whose use 100 bytes are pages of files."""
    names = ("max", "current", "") if version == 2 else ("limit_in_bytes", "usage_in_bytes", "total_")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"memory.{names[0]}").write_text(f"{limit}\n")
    (folder / f"memory.{names[1]}").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 300\n{names[2]}active_file 40\n{names[2]}inactive_file 60\n")


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ("0::/a.slice/run.scope", [700, 1100]),  # its own, and the one around it; the top has no limit
        ("0::/a.slice", [1100]),
        ("0::/", []),
        ("0::/../elsewhere", []),
        ("4:memory:/docker/abc", [1900, 3100]),
        ("4:memory:/docker/of the host", [1900]),  # in a container: what is mounted is its own group
        ("5:cpu,memory:/docker/abc\n1:cpu:/\n0::/a.slice", [1100, 1900, 3100]),
        ("1:name=systemd:/docker/abc", []),
    ],
)
def test_limits_of_control_groups(tmp_path: Path, own: str, left: list[int]) -> None:
    (tmp_path / "cgroup").write_text(own + "\n")
    top = tmp_path / "fs"
    group(top / "a.slice", "2000", 1000)
    group(top / "a.slice" / "run.scope", "1200", 600)
    group(top / "a.slice" / "other.scope", "10", 0)
    group(top / "memory", "4000", 2200, version=1)
    group(top / "memory" / "docker" / "abc", "5000", 2000, version=1)
    assert sorted(_group_memory(tmp_path / "cgroup", top)) == left


def test_a_group_without_limit_is_none(tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text("0::/a\n")
    group(tmp_path / "fs" / "a", "max", 1000)
    assert _group_memory(tmp_path / "cgroup", tmp_path / "fs") == []


def test_available_memory() -> None:
    assert available_memory() is None or 1e7 < available_memory() < 1e15


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.parquet", "shards"])
def test_permissions_are_not_damage(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if not path.suffix:
        path.mkdir()
        path /= "x.npy"
    path.touch(mode=0)
    with pytest.raises(DataError, match=r"may not be read \(permission denied\).*change its permissions"):
        load(tmp_path / name)


def test_shards_of_different_columns(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"a": [1.0, 2.0], "b": [3.0, 4.0]}), tmp_path / "1.parquet")
    parquet.write_table(pyarrow.table({"a": [1.0, 2.0]}), tmp_path / "2.parquet")
    with pytest.raises(DataError, match=r"different columns .* 1.parquet and 2.parquet differ in b; .* same columns"):
        load(tmp_path)


def test_size_is_for_folders(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    for what in (tmp_path / "a.csv", "digits"):
        with pytest.raises(SettingError, match="folder of images for size"):
            load(what, size=8)
