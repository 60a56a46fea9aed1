"""Batches of rows that stay on disk: exact, fair, resumable, bounded in memory, and honest about what goes wrong."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from elbox.errors import DataError, RunError, SettingError
from elbox.train import Training, train
from elbox.train.batches import Batches, batches
from elbox.train.stream import Stream
from tests.train.toys import ToyVAE, bits

CPU = torch.device("cpu")


class Numbered:
    """N rows [N, 4] of which row i holds i; counts what is read, and fails where it is told to."""

    def __init__(self, n: int, cut: int | None = None) -> None:
        self.shape, self.dtype = torch.Size((n, 4)), torch.float32
        self.cut, self.reads, self.fail = cut, Counter(), None
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: slice) -> Tensor:
        if self.fail:
            raise self.fail
        self.threads.add(threading.current_thread().name)
        self.reads.update(range(key.start, key.stop))
        return torch.arange(key.start, key.stop, dtype=torch.float32)[:, None].expand(-1, 4)

    def edges(self, most: int) -> np.ndarray:
        return np.append(np.arange(0, len(self), self.cut or most), len(self))


def stream(n: int = 1000, size: int = 32, *, buffer: int = 16 * 128, seed: int = 3, **options) -> Stream:
    return Stream(Numbered(n), size, seed, CPU, buffer=buffer, **options)


def rows_of(batch: Tensor) -> list[int]:
    return batch[:, 0].int().tolist()


@pytest.mark.parametrize(("n", "size", "buffer"), [(1000, 32, 16 * 128), (1000, 32, 1 << 28), (97, 8, 1), (5, 8, 64)])
def test_every_row_at_most_once_an_epoch(n: int, size: int, buffer: int) -> None:
    found = stream(n, size, buffer=buffer)
    assert len(found) == max(1, n // size)
    left = []
    for epoch in range(4):
        steps = range(epoch * len(found), (epoch + 1) * len(found))
        rows = [i for step in steps for i in rows_of(found.at(step))]
        assert len(rows) == len(set(rows)) == len(found) * found.size
        left.append(frozenset(range(n)) - set(rows))
    assert n == found.size or len(set(left)) > 1  # the ones that are left out change
    found.close()


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    whole = stream()
    all_of_them = [whole.at(step) for step in range(3 * len(whole))]
    assert whole.buffers > 3
    for first in (1, 7, 30, 31, 32, 61, 90):
        fresh = stream()
        assert all(torch.equal(fresh.at(step), all_of_them[step]) for step in range(first, first + 3))
        fresh.close()
    assert torch.equal(whole.at(5), all_of_them[5])  # back again
    assert not torch.equal(stream(seed=4).at(0), all_of_them[0])
    assert rows_of(all_of_them[0]) != rows_of(all_of_them[len(whole)])
    whole.close()


def test_rows_of_different_parts_of_the_file_meet_in_a_batch() -> None:
    found = stream(4096, 64, buffer=1024 * 16)
    spread = [np.ptp(rows_of(found.at(step))) for step in range(len(found))]
    assert min(spread) > 2048
    found.close()


def test_shares_of_processes_make_up_the_global_batch() -> None:
    alone, tensor = stream(), torch.arange(100)
    for rank in range(4):
        share = stream(part=(rank, 4))
        assert len(share) == len(alone)
        for step in (0, 3, 40):
            assert torch.equal(share.at(step), alone.at(step)[rank::4])
            resident = Batches(tensor, 32, 3, CPU, (rank, 4)).at(step)
            assert torch.equal(resident, Batches(tensor, 32, 3, CPU).at(step)[rank::4])
        share.close()
    alone.close()
    for make in (lambda: stream(part=(0, 5)), lambda: Batches(tensor, 32, 3, CPU, (0, 5))):
        with pytest.raises(SettingError, match=r"batch of 32 examples for 5 devices; .* use batch_size=30"):
            make()


def test_the_next_buffer_is_read_meanwhile_and_no_more_than_that() -> None:
    found = stream()
    found.at(0)
    found._next[1].result()
    assert sum(found.rows.reads.values()) == 2 * found._batches * 32
    assert all(name.startswith("elbox-stream") for name in found.rows.threads)
    found.close()
    assert not [t for t in threading.enumerate() if t in found._worker._threads and t.is_alive()]


@pytest.mark.parametrize(
    ("error", "becomes", "says"),
    [
        (DataError("got a shard that is gone; expected it; restore it"), DataError, "shard that is gone"),
        (OSError(5, "Input/output error"), RunError, "Input/output error.*; expected .*; free memory or restore"),
        (MemoryError("no room"), RunError, "no room"),
    ],
)
def test_errors_of_the_thread_reach_the_caller_and_it_can_go_on(error, becomes, says: str) -> None:
    found, whole = stream(), stream()
    found.at(0)
    found._next[1].result()
    found.rows.fail = error
    at = 2 * found._batches
    found.at(at - 1)  # still read before it failed
    with pytest.raises(becomes, match=says):
        found.at(at)
    found.rows.fail = None
    assert torch.equal(found.at(at), whole.at(at))
    found.close()
    whole.close()


def test_the_factory_chooses() -> None:
    assert isinstance(batches(torch.arange(10), 4, 0, CPU), Batches)
    found = batches(Numbered(10), 4, 0, CPU)
    assert isinstance(found, Stream)
    for any_of_them in (found, Batches(torch.arange(10), 4, 0, CPU)):
        any_of_them.close()


def test_bytes_stay_bytes_and_memory_is_bounded(tmp_path: Path) -> None:
    """Batches of a 300 MB file, with buffers of 16 MiB, in a process whose data may not grow by more than 128 MiB."""
    shape = (400_000, 28, 28)
    np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.uint8, shape=shape)[::1000] = 7
    program = f"""
        import resource, sys
        from pathlib import Path
        import torch
        from elbox.data.npy import NpyFile
        from elbox.data.rows import Form, Rows
        from elbox.train.stream import Stream
        rows = Rows(NpyFile(Path({str(tmp_path / "x.npy")!r}), "x"), Form((28, 28), small=True))
        stream = Stream(rows, 128, 0, torch.device("cpu"), buffer=1 << 24)
        first = stream.at(0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        total = sum(int(stream.at(step).sum()) for step in range(len(stream)))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(first.dtype, total, after - before)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    dtype, total, grown = out.stdout.split()
    assert (dtype, int(total)) == ("torch.uint8", 400 * 784 * 7)
    assert int(grown) < 64 * 1024  # KiB


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts the threads of a process as Linux lists them")
def test_reading_starts_no_threads_beside_the_one_that_reads(tmp_path: Path) -> None:
    """OpenMP threads of the reading thread, one team more than there are cores, would put the step's to sleep."""
    np.save(tmp_path / "x.npy", np.ones((20_000, 784), np.uint8))
    program = f"""
        import os
        from pathlib import Path
        import torch
        from elbox.data.npy import NpyFile
        from elbox.data.rows import Form, Rows
        from elbox.train.stream import Stream
        torch.set_num_threads(4)
        threads = lambda: len(os.listdir("/proc/self/task"))
        rows = Rows(NpyFile(Path({str(tmp_path / "x.npy")!r}), "x"), Form((784,), small=True))
        before = threads()
        stream = Stream(rows, 128, 0, torch.device("cpu"), buffer=1 << 23)
        stream._wait(0), stream._wait(1)
        print(threads() - before)
        torch.ones(1 << 20) + 1
        print(threads() - before)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    reading, stepping = map(int, out.stdout.split())
    assert reading == 1
    assert stepping > reading  # the count does see OpenMP's


class Bits(Numbered):
    """Rows of bits, as bytes."""

    def __init__(self) -> None:
        super().__init__(70)
        self.x = bits(70)
        self.shape, self.dtype = self.x.shape, self.x.dtype

    def __getitem__(self, key: slice) -> Tensor:
        return self.x[key]


def test_a_compiled_run_that_goes_on_reads_only_what_it_needs(tmp_path, monkeypatch) -> None:
    """The batch on which the step is recorded is the next one."""
    monkeypatch.setattr("elbox.train.stream.BUFFER_ROWS", 24)  # three batches a buffer
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    monkeypatch.setattr("elbox.train.devices.missing_compiler", lambda device: None)
    read, load = [], Stream._load
    monkeypatch.setattr(Stream, "_load", lambda self, number: read.append(number) or load(self, number))
    settings = Training(epochs=3, batch_size=8, device="cpu", compile=True)
    train(ToyVAE(), Bits(), settings, folder=tmp_path / "run", stop_after=13)  # of 8 batches, 3 buffers an epoch
    read.clear()
    train(ToyVAE(), Bits(), settings, folder=tmp_path / "run", resume=True, stop_after=14)
    assert read[0] == 4
    assert set(read) <= {4, 5}


@pytest.mark.parametrize("stop", [1, 8, 13])
def test_training_resumes_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    monkeypatch.setattr("elbox.train.stream.BUFFER_ROWS", 24)  # three batches a buffer
    settings = Training(epochs=3, batch_size=8, device="cpu")
    whole, parts, again = ToyVAE(), ToyVAE(), ToyVAE()
    train(whole, Bits(), settings)
    train(parts, Bits(), settings, folder=tmp_path / "run", stop_after=stop)
    result = train(again, Bits(), settings, folder=tmp_path / "run", resume=True)
    assert result.steps == result.total == 24
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
