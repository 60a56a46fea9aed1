"""`elbox fit --devices 2`: started, stopped, killed and resumed as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_cli import FAST, elbox

ROOT = Path(__file__).parents[2]
LONG = [
    "--epochs",
    "5000",
    "--no-compile",
    "--precision",
    "32",
    "--set",
    "hidden=16",
    "--set",
    "checkpoint_seconds=0.2",
]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "elbox.cli", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Ids of the processes that train, by rank."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent, command = (
                (folder / "stat").read_text().rsplit(")", 1)[1].split()[1],
                (folder / "cmdline").read_text(),
            )
        except OSError:
            continue
        if int(parent) == process.pid and "spawn_main" in command:
            found.append(int(folder.name))
    return sorted(found)


def wait_until_it_trains(folder: Path, process: subprocess.Popen[str], before: frozenset[Path] = frozenset()) -> None:
    """Until there are two checkpoints that were not there before."""
    deadline = time.monotonic() + 120
    while len(set(folder.glob("checkpoints/step-*")) - before) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_processes_from_beginning_to_report(tmp_path):
    process = start(tmp_path, "fit", "digits", *FAST, "--devices", "2", "--out", "r", "--set", "latent=2")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    info = json.loads((tmp_path / "r" / "run.json").read_text())
    assert (info["status"], info["choice"]["processes"], info["training"]["devices"]) == ("finished", 2, 2)
    assert json.loads((tmp_path / "r" / "evaluation.json").read_text())["n"] == 180
    assert (tmp_path / "r" / "report.html").is_file()
    assert out.count("protocol: ") == err.count("training on ") == 1  # one of them speaks
    assert "2 processes" in err


def test_two_processes_share_what_a_trained_run_is_asked(tmp_path):
    """Codes are those of one process; noise is drawn anew in each, so that scores agree within their error."""
    demo = tmp_path / "demo"
    assert elbox("fit", "digits", *FAST, "--set", "latent=2", "--out", demo, "--quiet") == 0
    assert elbox("encode", demo, "--out", tmp_path / "codes.npy") == 0
    assert elbox("score", demo, "--samples", "50", "--out", tmp_path / "scores.npy") == 0
    found = {}
    for name, options in (
        ("encode", ["--out", "shared_codes.npy"]),
        ("score", ["--samples", "50", "--out", "shared_scores.npy"]),
        ("report", ["--samples", "5"]),
        ("evaluate", ["--samples", "50", "--json"]),
    ):
        process = start(tmp_path, name, str(demo), "--devices", "2", "--device", "cpu", *options)
        found[name], err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    codes, scores = np.load(tmp_path / "codes.npy"), np.load(tmp_path / "scores.npy")
    np.testing.assert_allclose(np.load(tmp_path / "shared_codes.npy"), codes, rtol=1e-5, atol=1e-6)
    apart = np.load(tmp_path / "shared_scores.npy") - scores
    assert apart.all()  # 180 rows, none with the same noise
    assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(len(apart))
    assert [found[name].count("\n") for name in ("encode", "score", "report")] == [1, 1, 1]  # one of them speaks
    log_likelihood = json.loads(found["evaluate"])["log_likelihood"]["mean"]
    assert abs(log_likelihood - scores.mean()) < 4 * apart.std() / np.sqrt(len(apart))


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_by_one_process_and_by_two(tmp_path, sig):
    process, before = start(tmp_path, "fit", "digits", *LONG, "--devices", "2", "--out", "r"), frozenset()
    for arguments in (["--devices", "1"], []):
        wait_until_it_trains(tmp_path / "r", process, before)
        process.send_signal(sig)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert err.strip().splitlines()[-1].endswith("go on with: elbox resume r")
        assert err.count("elbox resume r") == 1
        assert json.loads((tmp_path / "r" / "run.json").read_text())["status"] == "interrupted"
        before = frozenset((tmp_path / "r").glob("checkpoints/step-*"))
        process = start(tmp_path, "resume", "r", *arguments)
    wait_until_it_trains(tmp_path / "r", process, before)
    process.send_signal(sig)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_all_with_one_sentence(tmp_path, rank):
    process = start(tmp_path, "fit", "digits", *LONG, "--devices", "2", "--out", "r")
    wait_until_it_trains(tmp_path / "r", process)
    both = workers(process)
    assert len(both) == 2
    os.kill(both[rank], signal.SIGKILL)
    begin = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - begin < 10
    assert process.returncode == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith(
        f"elbox: process {rank} of 2 was killed (signal 9); the last good checkpoint is r/checkpoints/"
    )
    assert last.endswith("go on with: elbox resume r")
    assert "Traceback" not in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in both)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_without_the_one_that_started_them_they_end(tmp_path):
    process = start(tmp_path, "fit", "digits", *LONG, "--devices", "2", "--out", "r")
    wait_until_it_trains(tmp_path / "r", process)
    both = workers(process)
    process.kill()
    process.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in both):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--devices", "0"], ["devices=0", "≥ 1"]),
        (["--nodes", "2"], ["nodes=2", "NODE_RANK", "torchrun"]),
        (["--strategy", "magic"], ["strategy='magic'", "ddp", "fsdp"]),
        (["--devices", "3"], ["128 examples", "process 0 of 3", "batch_size"]),
        (["--devices", "2", "--device", "mps"], ["mps", "2 processes"]),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, arguments, fragments, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert elbox("fit", "digits", *FAST, "--quiet", *arguments) == 2
    message = capsys.readouterr().err
    assert len(message.strip().splitlines()) == 1
    assert all(fragment in message for fragment in fragments), message
    assert list(tmp_path.iterdir()) == []
