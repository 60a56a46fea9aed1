"""Files are whole or absent, and only JSON and safetensors."""

from __future__ import annotations

import json
import os
import random

import numpy as np
import pytest
import torch

from elbox.errors import RunError
from elbox.train import rng
from elbox.train.checkpoint import (
    Checkpoint,
    Checkpoints,
    Metrics,
    read_rows,
    read_tensors,
    write_bytes,
    write_json,
    write_tensors,
    write_text,
)


def test_tensors_of_every_kind_come_back(tmp_path):
    shared = torch.randn(3, 4)
    tensors = {
        "a": shared,
        "transposed": shared.T,
        "scalar": torch.tensor(3.0),
        "empty": torch.empty(0, 5),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "half": torch.randn(5).bfloat16(),
        "bools": torch.tensor([True, False]),
        "double": torch.randn(2, dtype=torch.float64, requires_grad=True),
        "long": torch.tensor([2**60]),
    }
    write_tensors(tmp_path / "t.safetensors", tensors, {"note": "ü"})
    back, metadata = read_tensors(tmp_path / "t.safetensors")
    assert metadata == {"note": "ü"}
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[k], tensors[k]) and back[k].dtype == tensors[k].dtype for k in tensors)


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "x.json", {"a": float("nan"), "b": [1.5, float("inf")], "c": "é"})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [1.5, None], "c": "é"}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, call):
    path = tmp_path / "f.txt"
    write_text(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", full) if call == "fsync" else (type(path), "replace", full)))
    with pytest.raises(RunError, match=r"f\.txt \(No space left on device\)"):
        write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.txt"]


def test_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    def abort(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", abort)
    with pytest.raises(KeyboardInterrupt):
        write_text(tmp_path / "f.txt", "new")
    assert not list(tmp_path.iterdir())


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match="could not write"):
        write_text(tmp_path / "runs" / "f.txt", "new")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(RunError, match="could not read"):
        read_tensors(tmp_path / "missing.safetensors")
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04\x95" + bytes(50))
    with pytest.raises(RunError, match="damaged file"):
        read_tensors(tmp_path / "pickle.safetensors")


def test_checkpoints_left_by_a_killed_process(tmp_path):
    store = Checkpoints(tmp_path)
    assert store.load(pytest.fail) is None
    store.save(Checkpoint({"step": 3}, {"model/w": torch.ones(2), "best/w": torch.zeros(2)}))
    (tmp_path / ".step-0000000004.safetensors.77.tmp").write_bytes(b"half")
    back = Checkpoints(tmp_path).load(pytest.fail)
    assert back is not None
    assert back.state == {"step": 3}
    assert torch.equal(back.group("model")["w"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["step-0000000003.safetensors"]


@pytest.mark.parametrize("torn", ["", '{"step": 3, "spl', '{"step": 3}'])
def test_metrics_rewind(tmp_path, torn):
    metrics = Metrics(tmp_path / "m.jsonl")
    for step in (1, 2):
        metrics.append({"step": step, "elbo": float("nan") if step == 1 else -1.25})
    metrics.sync()
    with metrics.path.open("a") as file:
        file.write(torn)
    again = Metrics(metrics.path)
    again.rewind(2)
    again.append({"step": 3})
    assert read_rows(metrics.path) == [{"step": 1, "elbo": None}, {"step": 2, "elbo": -1.25}, {"step": 3}]
    again.rewind(1)
    assert [row["step"] for row in read_rows(metrics.path)] == [1]


def test_every_generator_is_saved_and_put_back():
    device = torch.device("cpu")
    for _ in range(2):  # an odd number of Gaussians leaves one in store, which belongs to the state too
        random.gauss(0, 1), np.random.randn()
    state = {name: t.clone() for name, t in rng.capture(device).items()}

    def draw():
        return (torch.rand(3).tolist(), random.gauss(0, 1), random.random(), np.random.randn(3).tolist())

    first = draw()
    with rng.scope(5, device):
        inside = draw()
    rng.restore(state, device)
    assert draw() == first
    with rng.scope(5, device):
        assert draw() == inside
