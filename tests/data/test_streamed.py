"""Data that stay on disk: the same spec, values and messages as in memory, fair splits, and the same every time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import elbox.data.parquet as parquet_module
from elbox.data import Data, Protocol, Rows, as_examples, load, open_examples, reload
from elbox.data.binarise import bernoulli_draw
from elbox.data.build import build
from elbox.data.files import open_file
from elbox.data.load import SPLIT
from elbox.data.raw import Where
from elbox.data.streamed import held_out_blocks
from elbox.errors import DataError, SettingError
from elbox.spec import DataSpec

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (300, 6, 5)).astype(np.uint8)
TABLE = RNG.normal(3, 2, (300, 4)) * [1, 10, 0.1, 1]


def table_of(x: np.ndarray) -> pa.Table:
    return pa.table({name: x[:, j] for j, name in enumerate("abcd")})


def npy(x: np.ndarray) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.save(folder / "x.npy", x)
        return folder / "x.npy"

    return write


def npy_shards(folder: Path) -> Path:
    for i, part in enumerate(np.split(GREY, [7, 7, 150])):  # one of them is empty
        np.save(folder / f"part-{i}.npy", part)
    (folder / "README.txt").write_text("not a shard")
    return folder


def parquet(folder: Path) -> Path:
    pq.write_table(table_of(TABLE), folder / "x.parquet", row_group_size=70)
    return folder / "x.parquet"


def parquet_shards(folder: Path) -> Path:
    for i, part in enumerate(np.split(TABLE, [100, 190])):
        pq.write_table(table_of(part), folder / f"part-{i}.parquet", row_group_size=33)
    return folder


def images(folder: Path) -> Path:
    for i, pixels in enumerate(GREY):
        (folder / "abc"[i // 100]).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "abc"[i // 100] / f"{i:03}.png")
    (folder / "a" / "broken.png").write_bytes(b"none")
    return folder


SOURCES: dict[str, tuple[Callable[[Path], Path], dict[str, object]]] = {
    "bytes": (npy(GREY), {}),
    "dynamic": (npy(GREY), {"binarise": "dynamic"}),
    "static": (npy(GREY), {"binarise": "static", "seed": 3}),
    "threshold": (npy(GREY), {"binarise": "threshold"}),
    "colours last": (npy(RNG.integers(0, 256, (200, 6, 5, 3)).astype(np.uint8)), {}),
    "float64": (npy(TABLE), {}),
    "big-endian": (npy(TABLE.astype(">f4")), {}),
    "counts": (npy(RNG.poisson(3.0, (300, 4))), {}),
    "large counts": (npy(RNG.integers(0, 3000, (300, 4))), {}),
    "17 levels": (npy(RNG.integers(0, 17, (300, 4, 4))), {"binarise": "static"}),
    "300 levels": (npy(RNG.integers(0, 300, (300, 4, 4))), {}),
    "levels as asked": (npy(RNG.integers(0, 9, (300, 4)).astype(float)), {"levels": 12}),
    "real as asked": (npy(GREY), {"kind": "real"}),
    "unit as asked": (npy(RNG.random((300, 4, 4))), {"kind": "unit"}),
    "positive as asked": (npy(RNG.exponential(size=(300, 4))), {"kind": "positive"}),
    "complex": (npy((RNG.normal(size=(300, 4)) + 1j * RNG.normal(size=(300, 4))).astype(np.complex64)), {}),
    "complex pictures": (npy(RNG.normal(size=(300, 4, 3)) + 1j * RNG.normal(size=(300, 4, 3))), {}),
    "complex parts": (npy(RNG.normal(size=(300, 2, 4))), {"kind": "complex"}),
    "booleans": (npy(RNG.random((300, 5)) < 0.3), {}),
    "few rows": (npy(GREY[:7]), {}),
    "npy shards": (npy_shards, {"binarise": "static"}),
    "parquet": (parquet, {}),
    "parquet shards": (parquet_shards, {"kind": "real"}),
    "images": (images, {}),
    "resized images": (images, {"size": (3, 4), "binarise": "dynamic"}),
}


def in_memory(path: Path, streamed: Data, options: dict[str, object]) -> Data:
    """The data that the resident path makes of the same rows in the same splits."""
    raw = open_file(path, size=options.get("size")).raw()
    held = streamed.indices["valid"], streamed.indices["test"]
    train = np.setdiff1d(np.arange(len(raw.x)), np.concatenate(held))
    indices = {"train": train, "valid": held[0], "test": held[1]}
    source = {"name": "x", "options": {"seed": 0, **options}}
    return build(raw.__class__(**{**vars(raw), "indices": indices}), source, SPLIT)


@pytest.mark.filterwarnings("ignore:left out 1 of 301")
@pytest.mark.parametrize("name", SOURCES)
def test_streamed_is_what_is_resident(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elbox.data.streamed.CHUNK", 1000)  # several chunks
    write, options = SOURCES[name]
    path = write(tmp_path)
    data = load(path, stream=True, **options)
    other = in_memory(path, data, options)
    for field in ("event_shape", "kind", "levels", "classes"):
        assert getattr(data.spec, field) == getattr(other.spec, field)
    np.testing.assert_allclose(data.spec.offset, other.spec.offset, rtol=1e-7)
    np.testing.assert_allclose(data.spec.scale, other.spec.scale, rtol=1e-7)
    assert (data.protocol, data.columns, data.class_names) == (other.protocol, other.columns, other.class_names)
    x = data.train.x
    assert isinstance(x, Rows)
    assert (x.shape, x.dtype, x.dim()) == (other.train.x.shape, other.train.x.dtype, other.train.x.dim())
    assert torch.equal(x[:], other.train.x)
    assert torch.equal(x[3:5], other.train.x[3:5])
    assert torch.equal(x[-1], other.train.x[-1])
    for part in ("valid", "test"):
        assert torch.equal(getattr(data, part).x, getattr(other, part).x)
    for part in ("train", "valid", "test"):
        mine, theirs = getattr(data, part).y, getattr(other, part).y
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs)
    assert type(data.prepare) is type(other.prepare)


@pytest.mark.parametrize("n", [3, 4, 10, 257, 2500, 6000, 123_457])
@pytest.mark.parametrize("row_bytes", [1, 784, 1 << 22])
def test_held_out_blocks_are_disjoint_and_spread_evenly(n: int, row_bytes: int) -> None:
    blocks = held_out_blocks(n, row_bytes, 5, Where("x"))
    rows = {part: np.concatenate([np.arange(*span) for span in spans]) for part, spans in blocks.items()}
    both = np.concatenate(list(rows.values()))
    assert len(np.unique(both)) == len(both)
    assert both.min() >= 0
    assert both.max() < n
    assert len(rows["valid"]) == len(rows["test"]) == max(1, min(round(n / 10), 10_000, (1 << 27) // row_bytes))
    if len(rows["valid"]) >= 250:
        for part in rows.values():  # of a file sorted into ten classes, every class gets its tenth
            assert np.bincount(part * 10 // n, minlength=10) == pytest.approx(len(part) / 10, rel=0.15)
    again = held_out_blocks(n, row_bytes, 5, Where("x"))
    assert all((blocks[part] == again[part]).all() for part in blocks)
    if n > 10:
        assert (held_out_blocks(n, row_bytes, 6, Where("x"))["valid"] != blocks["valid"]).any()


def test_what_does_not_fit_is_streamed_without_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", GREY)
    assert not load(tmp_path / "x.npy").streamed
    monkeypatch.setattr("elbox.data.memory.available_memory", lambda: 10_000)
    data = load(tmp_path / "x.npy")
    assert data.streamed
    assert data.describe().endswith(
        "x.npy: 240 train / 30 validation / 30 test, 1×6×5, levels 0…255, streamed from disk"
    )
    assert data.source["options"]["stream"] is True
    with pytest.raises(DataError, match=r"which needs .* of memory"):
        load(tmp_path / "x.npy", stream=False)


def test_reload_streams_again_or_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", GREY)
    streamed, resident = load(tmp_path / "x.npy", stream=True, binarise="static"), load(tmp_path / "x.npy")
    again = reload(json.loads(json.dumps(streamed.source)))
    assert again.source == streamed.source
    assert torch.equal(again.train.x[:], streamed.train.x[:])
    monkeypatch.setattr("elbox.data.memory.available_memory", lambda: 10_000)
    with pytest.raises(DataError, match="memory"):  # never other splits than those of the run
        reload(resident.source)


@pytest.mark.parametrize("row", [0, 151, 299])
def test_a_changed_value_is_noticed(tmp_path: Path, row: int) -> None:
    np.save(tmp_path / "x.npy", GREY)
    source = load(tmp_path / "x.npy", stream=True).source
    changed = GREY.copy()
    changed[row, 2, 2] ^= 1
    np.save(tmp_path / "x.npy", changed)
    with pytest.raises(DataError, match="differ from those of the run"):
        reload(source)


def test_examples_of_streamed_data(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GREY)
    data = load(tmp_path / "x.npy", stream=True, binarise="dynamic")
    first, everything = data.examples("train", 5), data.examples("train")
    assert first.dtype == torch.float32
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(everything[:5], first)
    assert torch.equal(data.examples("train", 5), first)
    assert len(everything) == len(data.train)
    assert torch.equal(data.examples("test", 5), data.test.x[:5].float())
    assert data.stored("train").dtype == data.stored("train", 5).dtype == data.stored().dtype == torch.uint8
    assert torch.equal(data.stored("train", 5), first.byte())


def test_blocks_begin_where_row_groups_do(tmp_path: Path) -> None:
    rows = load(parquet(tmp_path), stream=True).train.x  # groups of 70 rows
    held = np.setdiff1d(np.arange(300), np.concatenate([np.arange(a, b) for a, b in rows.spans]))
    groups = [0, 70, 140, 210, 280, 300]
    assert rows.edges(10).tolist() == [start - int((held < start).sum()) for start in groups]
    np.save(tmp_path / "x.npy", TABLE)
    assert load(tmp_path / "x.npy", stream=True).train.x.edges(100).tolist() == [0, 100, 200, 240]


def many_shards(folder: Path) -> tuple[Path, np.ndarray]:
    """60 shards of two row groups each, of 64 kB each once they are decoded."""
    x = RNG.normal(size=(60 * 4096, 4))
    for i, part in enumerate(np.split(x, 60)):
        pq.write_table(table_of(part), folder / f"{i:02}.parquet", row_group_size=2048)
    return folder, x


def test_of_many_shards_one_row_group_is_in_memory(tmp_path: Path) -> None:
    folder, x = many_shards(tmp_path)
    source = open_file(folder)
    assert (source.read(4000, 9000) == x[4000:9000]).all()  # of three shards
    tracemalloc.start()
    try:
        for k in RNG.permutation(len(source) // 512).tolist():
            found = source.read(512 * k, 512 * (k + 1))
            assert (found == x[512 * k : 512 * (k + 1)]).all()
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2 * 65536
    assert most < 4 * 65536
    assert pa.total_allocated_bytes() < 2 * 65536


def test_many_shards_are_not_all_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder, x = many_shards(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard))  # of those that are opened from now on
    try:
        data = load(folder, stream=True)
        assert len(data.train.x[:]) == len(x) - len(data.valid) - len(data.test)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_row_group_is_decoded_once_when_rows_are_read_in_order(tmp_path: Path, monkeypatch: Any) -> None:
    folder, x = many_shards(tmp_path)
    source, decoded = open_file(folder), []
    numbers = parquet_module._numbers
    monkeypatch.setattr(parquet_module, "_numbers", lambda *given: decoded.append(1) or numbers(*given))
    for start in range(0, len(x), 300):
        source.read(start, min(start + 300, len(x)))
    assert len(decoded) == 120


def test_a_shard_that_changed_meanwhile(tmp_path: Path) -> None:
    source = open_file(parquet_shards(tmp_path))
    source.read(0, 10)
    pq.write_table(table_of(TABLE[:50]), tmp_path / "part-1.parquet")
    with pytest.raises(DataError, match=r"rows in row group 0 of .*part-1.parquet; expected 33, as when it was opened"):
        source.read(100, 110)
    pq.write_table(table_of(TABLE[:33]), tmp_path / "part-1.parquet")
    with pytest.raises(DataError, match=r"part-1.parquet, which pyarrow cannot read"):
        source.read(180, 190)
    (tmp_path / "part-2.parquet").unlink()
    with pytest.raises(DataError, match=r"part-2.parquet, which pyarrow cannot read"):
        source.read(200, 210)


@pytest.mark.parametrize("dims", [(4,), (3, 1)])
def test_static_bits_do_not_depend_on_how_rows_are_read(dims: tuple[int, ...]) -> None:
    x = RNG.integers(0, 256, (50, *dims)).astype(np.uint8)
    whole = bernoulli_draw(x, 256, seed=7)
    for first, last in ((0, 50), (1, 2), (17, 40), (49, 50)):
        assert (bernoulli_draw(x[first:last], 256, seed=7, first=first) == whole[first:last]).all()


# New data


@pytest.mark.parametrize("how", ["static", "dynamic", "threshold", "none"])
@pytest.mark.parametrize("as_shards", [False, True])
def test_new_examples_are_those_of_memory(tmp_path: Path, how: str, as_shards: bool) -> None:
    path = npy_shards(tmp_path) if as_shards else npy(GREY)(tmp_path)
    spec = DataSpec((1, 6, 5), "levels", levels=256) if how == "none" else DataSpec((1, 6, 5), "binary")
    protocol = Protocol(how, 256 if how != "none" else 0, 3)
    rows = open_examples(path, spec, protocol=protocol, stream=True)
    assert isinstance(rows, Rows)
    expected = as_examples(path, spec, protocol=protocol)
    assert torch.equal(rows[:], expected)
    assert torch.equal(rows.float()[11:13], expected[11:13].float())
    assert torch.equal(open_examples(path, spec, protocol=protocol), expected)


def test_new_binary_values_pass_though_grey_ones_are_binarised(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GREY > 99)
    rows = open_examples(
        tmp_path / "x.npy", DataSpec((1, 6, 5), "binary"), protocol=Protocol("static", 256), stream=True
    )
    assert (rows[:].numpy()[:, 0] == (GREY > 99)).all()


def test_new_tables_are_ordered_by_column(tmp_path: Path) -> None:
    pq.write_table(table_of(TABLE).select(["c", "a", "d", "b"]), tmp_path / "x.parquet", row_group_size=40)
    rows = open_examples(tmp_path / "x.parquet", DataSpec((4,), "real"), columns=tuple("abcd"), stream=True)
    np.testing.assert_array_equal(rows[30:90], TABLE[30:90].astype(np.float32))


@pytest.mark.parametrize(("start", "length"), [(0, 240), (0, 80), (77, 100), (239, 1), (5, 0)])
def test_neighbouring_rows_stay_on_disk(tmp_path: Path, start: int, length: int) -> None:
    np.save(tmp_path / "x.npy", GREY)
    rows = load(tmp_path / "x.npy", stream=True, binarise="static").train.x
    assert len(rows.spans) > 3
    part = rows.narrow(0, start, length)
    assert isinstance(part, Rows)
    assert part.shape == (length, *rows.shape[1:])
    assert torch.equal(part[:], rows[:].narrow(0, start, length))
    assert torch.equal(part.float()[length // 3 : length // 2], part[:].float()[length // 3 : length // 2])


# What is wrong is said in one sentence


def test_the_first_bad_cell_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elbox.data.streamed.CHUNK", 1000)
    bad = TABLE.copy()
    bad[123, 2] = np.nan
    np.save(tmp_path / "x.npy", bad)
    with pytest.raises(DataError, match=r"NaN in .*x.npy, row 123, column 2; expected a number in every cell"):
        load(tmp_path / "x.npy", stream=True)
    with pytest.raises(DataError, match=r"NaN in .*x.npy, row 123, column 2"):
        open_examples(tmp_path / "x.npy", DataSpec((4,), "real"), stream=True)
    folder = tmp_path / "shards"
    folder.mkdir()
    for i, part in enumerate(np.split(bad, [100])):
        pq.write_table(table_of(part), folder / f"{i}.parquet", row_group_size=10)
    with pytest.raises(DataError, match=r"NaN in .*shards, 1.parquet row 23, column 'c'"):
        load(folder, stream=True)
    np.save(tmp_path / "x.npy", GREY)
    with pytest.raises(DataError, match=r"got \d+ in .*row 0, pixel \(0, 0, \d\); expected whole numbers 0 … 9"):
        load(tmp_path / "x.npy", stream=True, levels=10)


@pytest.mark.parametrize("stream", [True, False])
def test_folders_that_cannot_be_read(tmp_path: Path, stream: bool) -> None:
    def refused(says: str) -> None:
        with pytest.raises(DataError, match=says) as error:
            load(tmp_path, stream=stream)
        assert "\n" not in str(error.value)
        assert "expected" in str(error.value)

    refused("without any image; .* or .npy or .parquet files in it")
    np.save(tmp_path / "a.npy", GREY)
    np.save(tmp_path / "b.npy", GREY[:, :4])
    refused(r"different shapes in .*: rows of a.npy have shape \(6, 5\) and rows of b.npy \(4, 5\)")
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    refused(r"/b.npy, which numpy cannot read \(9127 bytes of an array of shape \(300, 6, 5\)\)")
    (tmp_path / "b.npy").write_bytes(b"")
    refused("/b.npy, which numpy cannot read")
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    refused("Python objects in .*/b.npy")
    (tmp_path / "b.npy").unlink()
    pq.write_table(table_of(TABLE), tmp_path / "b.parquet")
    refused("a.npy and b.parquet in one folder")
    (tmp_path / "a.npy").unlink()
    pq.write_table(table_of(TABLE).rename_columns(list("abce")), tmp_path / "c.parquet")
    refused("different columns in .*: b.parquet and c.parquet differ in d")
    (tmp_path / "c.parquet").write_bytes((tmp_path / "b.parquet").read_bytes()[:-20])
    refused("/c.parquet, which pyarrow cannot read")
    (tmp_path / "c.parquet").unlink()
    Image.fromarray(GREY[0]).save(tmp_path / "d.png")
    refused("b.parquet and d.png in one folder")


def test_an_image_that_is_cut_off_is_named(tmp_path: Path) -> None:
    for i in range(20):
        Image.fromarray(RNG.integers(0, 256, (64, 64)).astype(np.uint8)).save(tmp_path / f"{i:02}.jpg")
    (tmp_path / "13.jpg").write_bytes((tmp_path / "13.jpg").read_bytes()[:2000])
    with pytest.raises(DataError, match=r"got 13.jpg in .*, which cannot be decoded; .*; remove or mend it"):
        load(tmp_path, stream=True)


def test_what_cannot_be_streamed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,2\n3,4\n5,6\n")
    for name in ("digits", tmp_path / "x.csv"):
        with pytest.raises(SettingError, match=re.escape("got stream=true with") + ".*; save it as one of these"):
            load(name, stream=True)
    np.save(tmp_path / "x.npy", np.asfortranarray(TABLE))
    with pytest.raises(DataError, match=r"x.npy in column order; expected row order .*ascontiguousarray"):
        load(tmp_path / "x.npy", stream=True)
    assert len(load(tmp_path / "x.npy").train) == 240
    np.save(tmp_path / "x.npy", TABLE[:2])
    with pytest.raises(DataError, match="got 2 rows"):
        load(tmp_path / "x.npy", stream=True)
    np.save(tmp_path / "x.npy", TABLE[:0])
    with pytest.raises(DataError, match="empty array"):
        load(tmp_path / "x.npy", stream=True)
    np.save(tmp_path / "x.npy", np.full((30, 2), 1.5))
    with pytest.raises(DataError, match=r"column 0 of .* with the value 1.5 in every training row"):
        load(tmp_path / "x.npy", stream=True)
    np.save(tmp_path / "x.npy", TABLE)
    with pytest.raises(DataError, match="got binarise='static' with real values"):
        load(tmp_path / "x.npy", stream=True, binarise="static")


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GREY)
    rows = load(tmp_path / "x.npy", stream=True).train.x
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:4000])
    with pytest.raises(DataError, match=r"x.npy, which numpy cannot read \(it ends before row"):
        rows[:]
    (tmp_path / "x.npy").unlink()
    with pytest.raises(DataError, match=r"x.npy, which numpy cannot read \(.*No such file"):
        rows[:3]


def test_loading_takes_little_memory_and_decides_by_itself(tmp_path: Path) -> None:
    """A 300 MB file in a process of at most 600 MiB of data, about half of which torch takes."""
    pytest.importorskip("resource")
    np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.uint8, shape=(400_000, 28, 28))[::1000] = 7
    program = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_DATA, (600 << 20, 600 << 20))
        from elbox.data import load
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        data = load({str(tmp_path / "x.npy")!r}, levels=256)
        print(data.streamed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    streamed, grown = out.stdout.split()
    assert streamed == "True"
    assert int(grown) < 128 * 1024  # KiB, of which the held-out rows are 15 000, once as found and once as stored
