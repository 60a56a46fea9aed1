"""Several processes do what one does: here two on the CPU, which talk over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import elbox
from elbox.cli.shared import fit_in
from elbox.errors import NonFiniteError, RunError, SettingError
from elbox.train import Silent, Training
from elbox.train.checkpoint import Checkpoints, read_tensors
from elbox.train.launch import launch
from elbox.train.processes import World, join
from tests.train import jobs
from tests.train.test_resume import assert_same_run
from tests.train.toys import ToyVAE

TWO = Training(devices=2)
ROOT = Path(__file__).parents[2]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Path:
    """The same runs in one process and in two."""
    folder = tmp_path_factory.mktemp("both")
    jobs.equal_runs(folder / "one", jobs.CASES, devices=1)
    launch(jobs.equal_runs, {"folder": folder / "two", "cases": jobs.CASES}, TWO)
    return folder


def assert_equal_runs(folder: Path, case: str) -> None:
    one, two = folder / "one" / case, folder / "two" / case
    for mine, theirs in zip(rows(one), rows(two), strict=True):
        for name in {"loss", "distortion", "bound", "step", "best", "lr"} & mine.keys():
            assert mine[name] == pytest.approx(theirs[name], rel=1e-6), (name, mine["step"])
    for mine, theirs in zip(torch.load(one / "weights.pt"), torch.load(two / "weights.pt"), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    start = read_tensors(Checkpoints(one / "checkpoints").paths()[0])[0]
    assert not torch.equal(start["model/decoder.weight"], torch.load(one / "weights.pt")[2])  # it did train


@pytest.mark.parametrize("case", jobs.CASES)
def test_two_processes_give_the_losses_weights_and_bounds_of_one(both, case):
    assert_equal_runs(both, case)


@pytest.mark.slow
def test_recorded_steps_of_two_processes_give_those_of_one(tmp_path):
    try:
        jobs.equal_runs(tmp_path / "one", jobs.RECORDED, devices=1)
    except SettingError as error:
        pytest.skip(str(error))
    launch(jobs.equal_runs, {"folder": tmp_path / "two", "cases": jobs.RECORDED}, TWO)
    for case in jobs.RECORDED:
        assert_equal_runs(tmp_path, case)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("found")
    np.save(folder / "x.npy", np.random.default_rng(0).integers(0, 17, (300, 8, 8)).astype(np.uint8))
    launch(jobs.several_things, {"folder": folder}, TWO)
    jobs.evaluations(folder, "alone")
    return folder


def test_each_process_draws_its_own_noise_and_the_first_alone_writes(recorded):
    (first, files), (second, others) = torch.load(recorded / "found.pt")
    assert len(second) == 24
    assert not set(first[-24:]) & set(second)
    assert files == ["metrics.jsonl", "step-0000000016.safetensors", "step-0000000024.safetensors"]
    assert others == []


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_halves_in_two_processes_make_a_whole(recorded, strategy):
    recorded = recorded / strategy
    assert_same_run(recorded / "whole", recorded / "halves")
    generators = read_tensors(Checkpoints(recorded / "whole" / "checkpoints").paths()[-1])[0]
    assert not torch.equal(generators["rng/torch"], generators["rng1/torch"])


@pytest.mark.parametrize("how", ["once", "halves"])
def test_what_each_process_remembers_depends_neither_on_the_clock_nor_on_a_resume(recorded, how):
    """Buffers that differ between processes steer them; they are made equal at evaluations only."""
    folder = recorded / "steered"
    assert_same_run(folder / "often", folder / how)
    assert rows(folder / "often")[-1]["bound"] == rows(folder / how)[-1]["bound"]
    saved = read_tensors(Checkpoints(folder / "often" / "checkpoints").paths()[0])[0]  # before the evaluation
    assert saved["model/seen"] != saved["model1/seen"]


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_one_process_goes_on_with_a_run_of_two_and_says_so(recorded, strategy):
    observer, recorded, changes = Silent(), recorded / strategy, {"strategy": strategy, "ema": 0.9}
    result = jobs.run(recorded / "half", changes, ToyVAE(), resume=True, observer=observer)
    assert (result.steps, result.interrupted, result.choice.processes) == (24, False, 1)
    assert observer.messages == ["going on in 1 process with a run of 2 processes: its noise will differ from now on"]
    assert rows(recorded / "half")[-1]["bound"] == pytest.approx(rows(recorded / "whole")[-1]["bound"], abs=1)


def test_evaluation_and_codes_are_shared_out(recorded):
    alone, shared = (
        torch.load(recorded / "alone.pt", weights_only=False),
        torch.load(recorded / "shared.pt", weights_only=False),
    )
    assert torch.equal(alone["codes"], shared["codes"])
    one, two = alone["evaluation"], shared["evaluation"]
    assert (one.n, one.samples, one.seed, one.closed_form, one.active_units) == (
        two.n, two.samples, two.seed, two.closed_form, two.active_units,
    )  # fmt: skip
    np.testing.assert_allclose(one.per_example["rate"], two.per_example["rate"], rtol=1e-5)  # no noise, and in order
    np.testing.assert_allclose(one.rate_per_dimension, two.rate_per_dimension, rtol=1e-5)
    np.testing.assert_allclose(one.variance_of_means, two.variance_of_means, rtol=1e-4)
    assert one.rate.se == pytest.approx(two.rate.se)
    assert one.log_likelihood.mean == pytest.approx(two.log_likelihood.mean, abs=0.1)  # other noise
    for name in (
        "mutual_information",
        "total_correlation",
        "dimension_kl",
    ):  # of all examples together, in each process
        assert getattr(one, name).mean == pytest.approx(getattr(two, name).mean, abs=1e-5)


def test_options_of_an_evaluation_reach_all_of_it(recorded):
    """The size of chunks decides which noise the codes get over which the posterior is aggregated."""
    alone, shared = (torch.load(recorded / f"{name}.pt", weights_only=False) for name in ("alone", "shared"))
    one, two = alone["in small chunks"], shared["in small chunks"]
    assert one.total_correlation != alone["evaluation"].total_correlation
    assert one.total_correlation.mean == pytest.approx(two.total_correlation.mean, abs=1e-9)


def test_an_evaluation_of_streamed_rows_is_shared_out(recorded):
    one, two = (torch.load(recorded / f"{name}.pt", weights_only=False)["streamed"] for name in ("alone", "shared"))
    assert one.n == two.n == 240
    np.testing.assert_allclose(one.per_example["rate"], two.per_example["rate"], rtol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 11])
def test_shares_of_rows_are_neighbours_and_make_up_the_whole(n):
    x = torch.arange(n)
    shares = [World(rank, 3).share(x) for rank in range(3)]
    if n < 3:
        assert all(torch.equal(share, x) for share in shares)
    else:
        assert torch.equal(torch.cat(shares), x)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_held_out_means_are_weighted_by_rows():
    from elbox.second_stage import mean_over

    assert mean_over([(3, {"bound": -1.0}), (1, {"bound": -5.0})]) == {"bound": -2.0}


@pytest.mark.parametrize(
    ("job", "error", "message"),
    [
        (jobs.unequal, SettingError, r"\(70 in memory, 60 in memory\); expected the same in all; load them with"),
        (jobs.indivisible, SettingError, "batch of 7 examples for 2 devices; .* use batch_size=6"),
        (jobs.nan, NonFiniteError, "loss of nan at step 1 .*step-0000000000"),
        (jobs.full_disk, RunError, "could not write .*full.* the last good checkpoint is .*step-0000000008"),
        (jobs.killed, RunError, r"process 1 of 2 was killed \(signal 9\); the last good .*step-0000000008.*resume"),
        (jobs.broken, RuntimeError, "ZeroDivisionError"),
    ],
)
@pytest.mark.slow
def test_what_goes_wrong_in_one_process_ends_all_with_one_message(tmp_path, job, error, message):
    folder = tmp_path / "full"
    with pytest.raises(error, match=message):
        launch(job, {"folder": folder}, TWO, folder)
    if job in (jobs.full_disk, jobs.killed):
        assert jobs.run(folder, {}, resume=True).steps == 24


@pytest.mark.slow
def test_processes_decide_together_whether_data_are_streamed(tmp_path):
    launch(jobs.short_of_memory, {"folder": tmp_path / "all"}, TWO)
    for short in "01":
        info = json.loads((tmp_path / "all" / short / "run.json").read_text())
        assert (info["status"], info["choice"]["processes"]) == ("finished", 2)
        assert "streamed from disk" in info["description"]


def test_memory_is_needed_by_each_process_of_a_machine(monkeypatch):
    monkeypatch.setattr("elbox.data.memory.available_memory", lambda: 100)
    assert [fit_in(World(local_size=n))(40) for n in (1, 2, 3)] == [True, True, False]


def test_several_processes_need_someone_to_start_them(monkeypatch):
    with pytest.raises(SettingError, match=r"devices=2 .*torchrun --nproc-per-node 2"):
        join(TWO)
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(SettingError, match=r"devices=3 .* 2 processes were started"):
        join(Training(devices=3))


def test_several_machines_need_an_address():
    with pytest.raises(SettingError, match="without NODE_RANK, MASTER_ADDR, MASTER_PORT"):
        launch(print, {}, Training(nodes=2))


@pytest.mark.parametrize(("field", "value"), [("devices", 0), ("nodes", 1.5), ("strategy", "dp")])
def test_settings_are_checked(field, value):
    with pytest.raises(SettingError, match=f"got {field}="):
        Training(**{field: value})


def test_seeds_of_noise_differ_by_process_and_by_what_is_added():
    worlds = [World(rank, 3) for rank in range(3)]
    assert worlds[0].seed(5) == 5
    assert len({w.seed(5, *more) for w in worlds for more in ((), (7,), (8,))}) == 9


SCRIPT = """
import elbox
data = elbox.load("digits")
settings = elbox.Training(epochs=1, device="cpu", compile=False)
run = elbox.fit(elbox.recipes.vae(data.spec, latent=2, hidden=(16,)), data, settings, out="run")
assert len(run.metrics) == 2 and run.info["choice"]["processes"] == 2
"""


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "fabric", "slurm"])
def test_other_launchers(tmp_path, launcher):
    (tmp_path / "script.py").write_text(SCRIPT)
    python, environment = [sys.executable], os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    commands = {
        "torchrun": [[*python, "-m", "torch.distributed.run", "--nproc-per-node", "2", "script.py"]],
        "fabric": [[*python, "-m", "lightning_fabric.cli", "--accelerator", "cpu", "--devices", "2", "script.py"]],
        "slurm": [[*python, "script.py"]] * 2,
    }[launcher]
    slurm = {"JOB_ID": "12345", "JOB_NAME": "fit", "STEP_ID": "0", "NTASKS": "2", "NTASKS_PER_NODE": "2", "NNODES": "1"}
    processes = []
    for rank, command in enumerate(commands):
        if launcher == "slurm":
            here = slurm | {"PROCID": str(rank), "LOCALID": str(rank), "NODEID": "0", "NODELIST": "localhost"}
            environment |= {f"SLURM_{name}": value for name, value in here.items()}
        processes.append(
            subprocess.Popen(command, cwd=tmp_path, env=dict(environment), stderr=subprocess.PIPE, text=True)
        )
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    info = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (info["status"], info["choice"]["processes"]) == ("finished", 2)
    assert elbox.load_run(tmp_path / "run").model.sample(2).shape == (2, 1, 8, 8)
