"""Stopping anywhere and going on gives the numbers of an uninterrupted run, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from elbox.errors import RunError, SettingError
from elbox.train import Silent, Training, train
from elbox.train.checkpoint import Checkpoints, read_tensors
from tests.train.toys import ToyVAE, bits, held_out_bound

ROOT = Path(__file__).parents[2]
TIMES = ("seconds", "examples_per_second")
BASE = Training(epochs=6, batch_size=8, evaluations=6, checkpoint_seconds=0.0)  # 70 examples: 8 steps an epoch
FULL = {"schedule": "cosine", "ema": 0.9, "clip": 5.0, "lr": 0.01}


def settings(**changes) -> Training:
    return Training(**{**BASE.to_json(), **changes})


def fit(folder, chosen, **options):
    step, x = ToyVAE(), bits()
    result = train(step, x, chosen, held_out=held_out_bound(step, x), folder=folder, **options)
    return step, result


def timeless(rows):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def last_state(folder: Path):
    tensors, metadata = read_tensors(Checkpoints(folder / "checkpoints").paths()[-1])
    state = json.loads(metadata["state"])
    for name in ("seconds", "settings"):
        state.pop(name)
    return tensors, state


def assert_same_run(one: Path, other: Path) -> None:
    (tensors, state), (others, other_state) = last_state(one), last_state(other)
    assert state == other_state
    assert tensors.keys() == others.keys()
    different = [name for name in tensors if not torch.equal(tensors[name], others[name])]
    assert not different
    rows, other_rows = (
        [json.loads(line) for line in (f / "metrics.jsonl").read_text().splitlines()] for f in (one, other)
    )
    assert timeless(rows) == timeless(other_rows)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adamax", "adagrad", "sgd"])
@pytest.mark.parametrize("stop", [24, 29])  # at the end of an epoch, and in the middle of one
def test_two_halves_make_a_whole(tmp_path, optimizer, stop):
    chosen = settings(**{**FULL, "optimizer": optimizer, "lr": 0.001})
    whole, result = fit(tmp_path / "whole", chosen)
    _, half = fit(tmp_path / "halves", chosen, stop_after=stop)
    assert half.interrupted
    assert half.steps == stop
    rest, resumed = fit(tmp_path / "halves", chosen, resume=True)
    assert not resumed.interrupted
    assert_same_run(tmp_path / "whole", tmp_path / "halves")
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), rest.state_dict().values()))
    assert timeless(result.history) == timeless(resumed.history)
    assert (result.best_bound, result.best_step) == (resumed.best_bound, resumed.best_step)


@pytest.mark.parametrize("changes", [{"schedule": "warmup"}, {"schedule": "burda"}, {"precision": "64"}, {"seed": 7}])
def test_every_setting_resumes(tmp_path, changes):
    fit(tmp_path / "whole", settings(**changes))
    for stop in (3, 17, 18, 40):
        fit(tmp_path / "parts", settings(**changes), stop_after=stop, resume=stop > 3)
    fit(tmp_path / "parts", settings(**changes), resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_python_and_numpy_noise_resumes_too(tmp_path):
    class Noisy(ToyVAE):
        def forward(self, x):
            loss, logs = super().forward(x)
            return loss * (1 + 0.1 * random.gauss(0, 1) + 0.1 * np.random.randn()), logs

    for folder, stops in (("whole", [None]), ("parts", [13, None])):
        for stop in stops:
            train(Noisy(), bits(), BASE, folder=tmp_path / folder, stop_after=stop, resume=stop is None)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_checkpoint_cadence_does_not_change_the_numbers(tmp_path):
    fit(tmp_path / "often", settings(**FULL))
    fit(tmp_path / "once", settings(**FULL, checkpoint_seconds=1e6))
    assert_same_run(tmp_path / "often", tmp_path / "once")


def test_compiled_run_resumes_compiled(tmp_path):
    chosen = settings(epochs=2, compile=True)
    try:
        _, result = fit(tmp_path / "whole", chosen)
    except SettingError as error:
        pytest.skip(str(error))
    assert result.choice.compile
    fit(tmp_path / "parts", chosen, stop_after=5)
    fit(tmp_path / "parts", chosen, resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_resume_keeps_the_choice_of_the_run(tmp_path, monkeypatch):
    fit(tmp_path, BASE, stop_after=5)
    monkeypatch.setattr("elbox.train.loop.choose", lambda *a: pytest.fail("chose again"))
    _, result = fit(tmp_path, BASE, resume=True)
    assert result.choice.precision == "32"


def test_run_of_a_device_that_has_gone_goes_on_elsewhere(tmp_path):
    fit(tmp_path, BASE, stop_after=5)
    store = Checkpoints(tmp_path / "checkpoints")
    checkpoint = store.load(pytest.fail)
    checkpoint.state["choice"]["device"] = "cuda:77"
    store.save(checkpoint)
    observer = Silent()
    _, result = fit(tmp_path, BASE, resume=True, observer=observer)
    assert result.steps == 48
    assert observer.messages == [f"going on on {result.choice.device} a run of cuda:77: rounding will differ"]


def test_finished_run_resumes_to_its_result(tmp_path):
    step, result = fit(tmp_path, settings(**FULL))
    before = sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "checkpoints").iterdir())
    again, resumed = fit(tmp_path, settings(**FULL), resume=True)
    assert resumed.steps == result.steps == 48
    assert all(torch.equal(a, b) for a, b in zip(step.state_dict().values(), again.state_dict().values()))
    assert before == sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "checkpoints").iterdir())


def test_early_stop_is_remembered(tmp_path):
    values = iter([-3.0, -2.0, -4.0, -5.0, -1.0])
    result = train(ToyVAE(), bits(), settings(patience=2), held_out=lambda: {"bound": next(values)}, folder=tmp_path)
    assert result.stopped_early
    again = train(ToyVAE(), bits(), settings(patience=2), held_out=dict, folder=tmp_path, resume=True)
    assert (again.stopped_early, again.interrupted, again.best_bound, again.best_step) == (True, False, -2.0, 16)


def test_resume_without_checkpoint_begins(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 8, "split": "train"}\n')  # killed before the first checkpoint
    fit(tmp_path, BASE, resume=True)
    fit(tmp_path / "fresh", BASE)
    assert_same_run(tmp_path, tmp_path / "fresh")


def test_changed_settings_are_refused(tmp_path):
    fit(tmp_path, BASE, stop_after=5)
    with pytest.raises(RunError, match=r"lr=0\.5 \(was 0\.003\)"):
        fit(tmp_path, settings(lr=0.5), resume=True)
    with pytest.raises(RunError, match="60 training examples; expected the 70"):
        train(ToyVAE(), bits(60), BASE, folder=tmp_path, resume=True)
    with pytest.raises(RunError, match="does not fit the model"):
        train(ToyVAE(hidden=5), bits(), BASE, folder=tmp_path, resume=True)
    fit(tmp_path, settings(checkpoint_seconds=9.0), resume=True)


def test_run_is_not_overwritten(tmp_path):
    fit(tmp_path, BASE, stop_after=5)
    with pytest.raises(RunError, match="holds a run already"):
        fit(tmp_path, BASE)
    with pytest.raises(SettingError, match="resume without a folder"):
        fit(None, BASE, resume=True)


@pytest.mark.parametrize("damage", ["truncate", "flip", "text", "empty"])
def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    fit(tmp_path / "whole", BASE)
    fit(tmp_path / "parts", BASE, stop_after=30)
    path = Checkpoints(tmp_path / "parts" / "checkpoints").paths()[-1]
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-100] ^= 1
    elif damage == "text":
        data = data.replace(b'\\"waited\\": 0', b'\\"waited\\": 1')
    path.write_bytes({"truncate": data[:-50], "empty": b""}.get(damage, data))
    observer = Silent()
    fit(tmp_path / "parts", BASE, resume=True, observer=observer)
    assert "damaged" in observer.messages[0]
    assert "going back" in observer.messages[0]
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_only_damaged_checkpoints_is_an_error(tmp_path):
    fit(tmp_path, BASE, stop_after=30)
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"x" * 100)
    with pytest.raises(RunError, match="only damaged checkpoints"):
        fit(tmp_path, BASE, resume=True)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2  # nothing was thrown away


def test_checkpoint_of_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("elbox.train.session.FORMAT", 99)
    fit(tmp_path, BASE, stop_after=5)
    with pytest.raises(RunError, match="format 99; expected 1"):
        fit(tmp_path, BASE, resume=True)


def test_two_checkpoints_are_kept_and_hold_no_pickle(tmp_path):
    fit(tmp_path, settings(**FULL))
    files = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert files == ["step-0000000040.safetensors", "step-0000000048.safetensors"]
    names = {name.split("/")[0] for name in read_tensors(tmp_path / "checkpoints" / files[0])[0]}
    assert names == {"model", "ema", "best", "optimizer", "rng", "logs"}


def run_script(body: str, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    head = (
        "import os, sys, time, signal, torch\nfrom pathlib import Path\n"
        "from elbox.train import Training, train\nfrom tests.train.toys import *\n"
        "from tests.train.test_resume import *\nfolder = Path(sys.argv[1])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", head + body, str(folder), *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE)


SLOW = """
class Slow(ToyVAE):
    def forward(self, x):
        time.sleep(0.02)
        return super().forward(x)
step = Slow()
result = train(step, bits(), settings(**FULL), held_out=held_out_bound(step, bits()), folder=folder)
sys.exit(7 if result.interrupted else 0)
"""


def wait_for_checkpoint(folder: Path, step: int, process) -> None:
    begin = time.monotonic()
    while not (folder / "checkpoints" / f"step-{step:010d}.safetensors").exists():
        assert time.monotonic() - begin < 60
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)


def test_kill_between_checkpoints(tmp_path):
    fit(tmp_path / "whole", settings(**FULL))
    process = run_script(SLOW, tmp_path / "killed")
    wait_for_checkpoint(tmp_path / "killed", 16, process)
    time.sleep(0.07)  # a few steps on, in the middle of an epoch
    process.kill()
    assert process.wait() == -signal.SIGKILL
    _, resumed = fit(tmp_path / "killed", settings(**FULL), resume=True)
    assert resumed.steps == 48
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_sigterm_saves_in_the_middle_of_an_epoch(tmp_path):
    fit(tmp_path / "whole", settings(**FULL))
    process = run_script(SLOW, tmp_path / "stopped")
    wait_for_checkpoint(tmp_path / "stopped", 8, process)
    time.sleep(0.05)
    process.terminate()
    assert process.wait() == 7, process.stderr.read()
    step = last_state(tmp_path / "stopped")[1]["step"]
    assert 8 < step < 48
    fit(tmp_path / "stopped", settings(**FULL), resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


FULL_DISK = """
import resource
step = ToyVAE()
def held_out():
    calls.append(0)
    if len(calls) == 4:  # from now on no file may grow beyond this many bytes, as on a disk that is full
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    return held_out_bound(step, bits())()
calls = []
train(step, bits(), settings(**FULL), held_out=held_out, folder=folder)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file size")
@pytest.mark.parametrize(("limit", "file"), [(500, "metrics.jsonl"), (6000, "step-0000000032.safetensors")])
def test_full_disk_leaves_the_last_good_checkpoint(tmp_path, limit, file):
    fit(tmp_path / "whole", settings(**FULL))
    process = run_script(FULL_DISK, tmp_path / "full", str(limit))
    _, errors = process.communicate()
    assert process.returncode == 1
    message = errors.splitlines()[-1]
    assert "elbox.errors.RunError: could not write" in message
    assert f"{file} (File too large); free space" in message
    assert "the last good checkpoint is" in message
    assert "step-0000000024.safetensors" in message
    left = [p.name for p in (tmp_path / "full" / "checkpoints").iterdir()]
    assert sorted(left) == ["step-0000000016.safetensors", "step-0000000024.safetensors"]  # and no temporary file
    fit(tmp_path / "full", settings(**FULL), resume=True)
    assert_same_run(tmp_path / "whole", tmp_path / "full")
