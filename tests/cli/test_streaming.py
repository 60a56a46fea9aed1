"""The command line on data that do not fit into memory: the same numbers, whole files, little memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from elbox.cli import codes, main

FAST = ["--epochs", "2", "--no-compile", "--precision", "32", "--set", "hidden=32", "--set", "latent=2", "--quiet"]
RNG = np.random.default_rng(0)


def elbox(*arguments: object) -> int:
    """Run the command line in this process; its exit code."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "demo"
    assert elbox("fit", "digits", *FAST, "--out", out) == 0
    return out


@pytest.fixture
def new(tmp_path: Path) -> Path:
    np.save(tmp_path / "new.npy", RNG.integers(0, 17, (100, 8, 8)).astype(np.uint8))
    return tmp_path / "new.npy"


@pytest.fixture
def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were 10 kB of memory, in which rows are handled 30 at a time."""
    monkeypatch.setattr("elbox.data.memory.available_memory", lambda: 10_000)
    monkeypatch.setattr(codes, "PART", 30 * 64 * 4)


def read(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".csv":
        return np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    table = pytest.importorskip("pyarrow.parquet").read_table(path)
    return np.column_stack([table.column(i).to_numpy() for i in range(table.num_columns)])


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
def test_codes_written_in_parts_are_those_written_at_once(demo, new, tmp_path, suffix, request) -> None:
    assert elbox("encode", demo, new, "--out", tmp_path / f"a{suffix}") == 0
    request.getfixturevalue("short_of_memory")
    assert elbox("encode", demo, new, "--out", tmp_path / f"b{suffix}") == 0
    once, parts = read(tmp_path / f"a{suffix}"), read(tmp_path / f"b{suffix}")
    assert once.shape == (100, 2)
    np.testing.assert_allclose(parts, once, rtol=1e-5, atol=1e-6)
    assert once.dtype == parts.dtype


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_codes_of_data_in_memory_are_written_in_parts_too(demo, new, tmp_path, suffix, monkeypatch) -> None:
    encode, calls = codes.encode_rows, []
    monkeypatch.setattr(codes, "PART", 30 * 64 * 4)
    monkeypatch.setattr(codes, "encode_rows", lambda model, rows: calls.append(rows) or encode(model, rows))
    assert elbox("encode", demo, new, "--out", tmp_path / f"a{suffix}") == 0
    assert [len(rows) for rows in calls] == ([100] if suffix == ".npz" else [30, 30, 30, 10])
    assert {str(rows.dtype) for rows in calls} == {"torch.uint8"}


def test_scores_in_parts_are_repeatable_and_each_part_draws_anew(demo, new, tmp_path, request, capsys) -> None:
    twice = np.load(new)
    twice[30:60] = twice[:30]  # the same rows in the second part
    np.save(new, twice)
    assert elbox("score", demo, new, "--samples", "20", "--out", tmp_path / "a.npy") == 0
    request.getfixturevalue("short_of_memory")
    for name in ("b.npy", "c.npy"):
        capsys.readouterr()
        assert elbox("score", demo, new, "--samples", "20", "--out", tmp_path / name) == 0
    at_once, parts = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert (parts == np.load(tmp_path / "c.npy")).all()
    assert parts.shape == at_once.shape == (100,)
    assert not np.allclose(parts[:30], parts[30:60], rtol=1e-7)
    assert parts.mean() == pytest.approx(at_once.mean(), rel=0.02)
    assert f"{parts.mean():.2f} nats over 100 examples" in capsys.readouterr().out


def test_npz_cannot_be_written_in_parts(demo, new, tmp_path, short_of_memory, capsys) -> None:
    assert elbox("encode", demo, new, "--out", tmp_path / "a.npz") == 2
    assert "expected .npy, .csv or .parquet, which are written in parts" in capsys.readouterr().err
    assert not list(tmp_path.glob("*a.npz*"))


def test_reconstructions_read_only_what_they_show(demo, new, tmp_path, short_of_memory) -> None:
    assert elbox("reconstruct", demo, new, "--out", tmp_path / "a.png") == 0


def test_nothing_is_half_written_on_a_full_disk(demo, new, tmp_path, capsys) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))
    before = (tmp_path / "a.npy").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        assert elbox("encode", demo, new, "--out", tmp_path / "a.npy") == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "could not write" in capsys.readouterr().err
    assert (tmp_path / "a.npy").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "new.npy"]


def test_nothing_is_half_written_when_stopped(demo, new, tmp_path, short_of_memory, monkeypatch) -> None:
    encode, calls = codes.encode_rows, []

    def stopped(model, rows):
        calls.append(len(rows))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(model, rows)

    monkeypatch.setattr(codes, "encode_rows", stopped)
    for suffix in (".npy", ".csv", ".parquet"):
        calls.clear()
        assert elbox("encode", demo, new, "--out", tmp_path / f"a{suffix}") == 130
        assert calls == [30, 30, 30]
    assert [p.name for p in tmp_path.iterdir()] == ["new.npy"]


def test_bad_rows_stop_before_anything_is_written(demo, new, tmp_path, short_of_memory, capsys) -> None:
    x = np.load(new)
    x[93, 2, 3] = 40
    np.save(new, x)
    assert elbox("score", demo, new, "--out", tmp_path / "a.npy") == 2
    assert "got 40 in" in (said := capsys.readouterr().err)
    assert "row 93, pixel (0, 2, 3); expected whole numbers 0 … 16" in said
    assert [p.name for p in tmp_path.iterdir()] == ["new.npy"]


def test_fit_streams_and_is_repeatable(tmp_path, new) -> None:
    np.save(new, RNG.integers(0, 17, (600, 8, 8)).astype(np.uint8))
    call = ["fit", new, *FAST, "--set", "stream=true", "--set", "levels=17"]
    assert elbox(*call, "--out", tmp_path / "a") == 0
    info = json.loads((tmp_path / "a" / "run.json").read_text())
    assert "streamed from disk" in info["description"]
    assert info["data"]["options"]["stream"] is True
    assert elbox("evaluate", tmp_path / "a", "--samples", "5") == 0
    assert elbox(*call, "--out", tmp_path / "b") == 0
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["encode", "score"])
def test_data_that_just_fit_into_memory_are_not_made_larger(demo, tmp_path, command) -> None:
    """64 MB of bytes, of which loading may take two copies, in a process that may take 200 MB: floats take 256."""
    np.save(tmp_path / "big.npy", RNG.integers(0, 17, (1_000_000, 8, 8), np.uint8))
    settings = ["--samples", "1", "--precision", "32"] if command == "score" else []
    arguments = [command, str(demo), str(tmp_path / "big.npy"), "--out", str(tmp_path / "out.npz"), *settings]
    program = f"""
        import resource
        from pathlib import Path
        from elbox.cli import main
        from elbox.evaluate import encode
        from elbox.runs import load_run
        run = load_run({str(demo)!r})
        encode(run.model, run.data.examples("test"))  # imports what it needs
        status = Path("/proc/self/status").read_text().splitlines()
        used = 1024 * int(next(line for line in status if line.startswith("VmData")).split()[1])
        resource.setrlimit(resource.RLIMIT_DATA, (used + 200_000_000,) * 2)
        main({arguments})
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, text=True, check=False)
    assert done.returncode == 0  # a .npz file of data that are streamed would be refused


@pytest.mark.slow
def test_codes_of_a_file_larger_than_the_limit_of_memory(demo, tmp_path) -> None:
    """A file of 0.8 GB, which would take 1.6 GB, through `elbox encode` in a process of at most 1 GiB of data."""
    n = 12_000_000
    x = np.lib.format.open_memmap(tmp_path / "big.npy", mode="w+", dtype=np.uint8, shape=(n, 8, 8))
    x[:: n // 100] = 9  # the rest stays a hole in the file
    del x
    program = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
        from elbox.cli import main
        main(["encode", {str(demo)!r}, {str(tmp_path / "big.npy")!r}, "--out", {str(tmp_path / "codes.npy")!r}])
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, env=environment)
    codes = np.load(tmp_path / "codes.npy", mmap_mode="r")
    assert codes.shape == (n, 2)
    assert not np.allclose(codes[0], codes[1])
    np.testing.assert_allclose(codes[n // 100], codes[0], rtol=1e-4)
