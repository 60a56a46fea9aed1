"""The command line as a user meets it: outputs, messages, exit codes, and a frozen set of options."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from elbox.cli import COMMANDS, application, main
from elbox.cli.settings import TRAINING
from elbox.train import Training

fit_module = import_module("elbox.cli.fit")  # the package has a function of that name
SNAPSHOT = Path(__file__).with_name("options.json")
FAST = ["--epochs", "2", "--no-compile", "--precision", "32", "--set", "hidden=32"]


def elbox(*arguments: str) -> int:
    """Run the command line in this process; its exit code."""
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "demo"
    assert elbox("fit", "digits", *FAST, "--set", "latent=2", "--out", out, "--quiet") == 0
    return out


def test_options_are_frozen():
    """An option that appears, vanishes or changes its name breaks scripts: change options.json on purpose."""
    commands = get_command(application()).commands
    found = {n: sorted(o for p in c.params for o in (*p.opts, *p.secondary_opts)) for n, c in commands.items()}
    assert found == json.loads(SNAPSHOT.read_text())


def test_defaults_of_fit_are_those_of_training(demo):
    """Every setting has an option with Training's own default, or is left to --set; so a run has what Training has."""
    options = {p.name: p.default for p in get_command(application()).commands["fit"].params}
    expected = {f.name: f.default for f in fields(Training) if f.name not in TRAINING}
    expected["devices"] = str(expected["devices"])  # the option also takes the name of a device
    assert {name: options[name] for name in expected} == expected
    trained = json.loads((demo / "run.json").read_text())["training"]
    assert trained == Training(epochs=2, precision="32", compile=False).to_json()  # what FAST says, and no more


def test_no_command_is_the_help_and_nothing_else(capsys):
    assert elbox() == 2
    captured = capsys.readouterr()
    assert "fit" in captured.out + captured.err
    assert "elbox: " not in captured.err


@pytest.mark.parametrize("module", ["elbox", "elbox.cli"])
def test_the_package_is_a_program(module):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.split()[0]) == (0, "elbox"), done.stderr


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_contains_an_example(command, capsys):
    assert elbox(command, "--help") == 0
    assert f"elbox {command}" in capsys.readouterr().out.split("Example", 1)[1]


def test_fit_writes_a_run_with_report_and_prints_protocol(demo, capsys):
    assert {"run.json", "model.safetensors", "report.html", "evaluation.json"} <= {p.name for p in demo.iterdir()}
    assert elbox("evaluate", demo, "--samples", "10") == 0
    out = capsys.readouterr().out
    for word in ("ELBO", "distortion", "rate", "log p(x)", "±", "protocol"):
        assert word in out


def test_json_is_one_document_and_nothing_else(demo, capsys):
    assert elbox("evaluate", demo, "--samples", "10", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["protocol"]
    assert result["elbo"]["mean"] == pytest.approx(-(result["distortion"]["mean"] + result["rate"]["mean"]), rel=1e-4)
    for arguments in (
        ["recipes", "--json"],
        ["data", "--json"],
        ["show", demo, "--json"],
        ["data", "digits", "--json"],
    ):
        assert elbox(*arguments) == 0
        json.loads(capsys.readouterr().out)


def test_evaluation_is_repeatable(demo, capsys):
    results = []
    for _ in range(2):
        assert elbox("evaluate", demo, "--samples", "7", "--seed", "3", "--json") == 0
        results.append(capsys.readouterr().out)
    assert results[0] == results[1]


@pytest.mark.parametrize(("command", "size"), [("sample", 64), ("reconstruct", 32), ("interpolate", 80)])
def test_pictures_are_png_grids_or_arrays(demo, tmp_path, command, size):
    png, npy = tmp_path / "a.png", tmp_path / "a.npy"
    assert elbox(command, demo, "--out", png) == 0
    image = Image.open(png)
    assert min(image.size) >= 60
    assert np.asarray(image).std() > 0
    assert elbox(command, demo, "--out", npy) == 0
    assert np.load(npy).shape == (size, 1, 8, 8)


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "parquet"])
def test_encode_decode_score_round_trip(demo, tmp_path, ending):
    codes, back, scores = (tmp_path / f"{n}.{ending}" for n in ("codes", "back", "scores"))
    assert elbox("encode", demo, "--out", codes) == 0
    assert elbox("decode", demo, codes, "--out", back) == 0
    assert elbox("score", demo, "--samples", "5", "--out", scores) == 0
    if ending == "npy":
        assert np.load(codes).shape == (180, 2)
        assert np.load(back).shape == (180, 1, 8, 8)
        assert np.load(scores).shape == (180,)


def test_new_data_from_a_file(demo, tmp_path):
    new = np.random.default_rng(0).integers(0, 17, (5, 8, 8))
    np.save(tmp_path / "new.npy", new)
    assert elbox("score", demo, tmp_path / "new.npy", "--samples", "5", "--out", tmp_path / "s.npy") == 0
    assert np.load(tmp_path / "s.npy").shape == (5,)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["fit", "digits", "--set", "latnt=3"], ["latnt", "latent=20", "hidden=400"]),
        (["fit", "digits", "--set", "latent=many"], ["latent=many", "whole number", "latent=20"]),
        (["fit", "digits", "--set", "latent=0"], ["latent=0", "whole number ≥ 1"]),
        (["fit", "digits", "--set", "latent"], ["name=value"]),
        (["fit", "digits", "--recipe", "vqe"], ["vqe", "beta_vae", "iwae"]),
        (["fit", "digits", "--optimizer", "adm"], ["adm", "adam", "sgd"]),
        (["fit", "digits", "--lr", "-1"], ["lr", "> 0"]),
        (["fit", "digits", "--epochs", "0"], ["epochs", "≥ 1"]),
        (["fit", "digits", "--binarise", "sometimes"], ["sometimes", "static", "dynamic"]),
        (
            ["fit", "digits", "--set", "likelihood=Bernoulli"],
            ["Bernoulli", "levels", "DiscretizedLogistic", "binarise"],
        ),
        (["fit", "digits", "--devices", "tpu"], ["tpu", "cpu"]),
        (["fit", "digits", "--device", "cpu", "--devices", "1000"], ["devices=1000", "cores"]),
        (["fit", "digits", "--device", "cuda", "--devices", "1000"], ["devices=1000", "CUDA devices"]),
        (["fit", "x.npy", "--set", "stream=maybe"], ["stream", "maybe", "true", "false"]),
        (["fit", "x.npy", "--set", "levels=many"], ["levels", "many", "65536"]),
        (["fit", "x.npy", "--set", "kind=3"], ["kind=3", "binary"]),
        (["fit", "x.npy", "--set", "size=big"], ["size", "big", "height"]),
        (["fit", "nowhere.npy"], ["nowhere.npy"]),
        (["fit", "digitz"], ["digitz", "digits"]),
        (["evaluate", "nowhere"], ["nowhere", "run.json"]),
        (["show", "nowhere"], ["nowhere", "run.json"]),
        (["recipes", "vqe"], ["vqe", "vae"]),
        (["fit"], ["data", "elbox fit --help"]),
        (["fit", "digits", "--epoch", "3"], ["--epoch", "elbox fit --help"]),
        (["fit", "digits", "--epochs", "many"], ["expected a whole number for --epochs;", "elbox fit --help"]),
        (["fit", "digits", "--epochs", "1.5"], ["expected a whole number for --epochs;", "elbox fit --help"]),
        (["fit", "digits", "--lr", "small"], ["expected a number for --lr;", "elbox fit --help"]),
        (["resume", "x", "--devices", "two"], ["expected a whole number for --devices;", "elbox resume --help"]),
        (["evaluate", "x", "--samples", "-3"], ["--samples", "1", "elbox evaluate --help"]),
        (["fti"], ["fti", "elbox --help"]),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments, fragments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert elbox(*arguments) == 2
    message = capsys.readouterr().err
    assert len(message.strip().splitlines()) == 1
    assert "Traceback" not in message
    for fragment in fragments:
        assert fragment in message
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_outputs_of_unknown_kind_are_refused_before_any_work(demo, tmp_path, capsys):
    for command, ending in (("sample", "jpg"), ("encode", "txt"), ("score", "xls")):
        assert elbox(command, demo, "--out", tmp_path / f"a.{ending}") == 2
        assert ".npy" in capsys.readouterr().err


def test_a_finished_run_is_not_overwritten(demo, capsys):
    before = (demo / "model.safetensors").read_bytes()
    assert elbox("fit", "digits", *FAST, "--set", "latent=2", "--out", demo) == 2
    assert "exists" in capsys.readouterr().err
    assert (demo / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "says"), [(["--seed", "1"], "finished"), (["--recipe", "iwae"], "other data or settings")]
)
def test_an_existing_folder_is_refused_before_data_are_read(demo, tmp_path, capsys, more, says):
    out = tmp_path / "run"
    shutil.copytree(demo, out)
    if "other" in says:
        info = json.loads((out / "run.json").read_text()) | {"status": "interrupted"}
        (out / "run.json").write_text(json.dumps(info))
    assert elbox("fit", tmp_path / "no-such-data.npy", *FAST, *more, "--out", out) == 2
    message = capsys.readouterr().err
    assert f"got --out {out}, which exists" in message
    assert says in message


def test_a_large_file_is_announced(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fit_module, "LARGE", 1000)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(200, 3)))
    assert elbox("fit", tmp_path / "x.npy", *FAST, "--out", tmp_path / "r") == 0
    captured = capsys.readouterr()
    assert f"reading {tmp_path / 'x.npy'} …" in captured.err
    assert "reading" not in captured.out
    assert elbox("fit", "digits", *FAST, "--out", tmp_path / "d", "--quiet") == 0
    assert "reading" not in capsys.readouterr().err


def test_fit_prints_data_likelihood_protocol_and_reasons(tmp_path, capsys):
    assert elbox("fit", "digits", *FAST, "--out", tmp_path / "r", "--binarise", "dynamic") == 0
    captured = capsys.readouterr()
    text = captured.out + captured.err
    for word in ("Bernoulli", "dynamic binarisation", "1437 train", "not compiled", "report.html"):
        assert word in text


@pytest.mark.slow
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_fit_says_how_to_resume_and_resumes(tmp_path, sig):
    arguments = [
        "fit",
        "digits",
        "--epochs",
        "3000",
        "--no-compile",
        "--precision",
        "32",
        "--out",
        "r",
        "--set",
        "hidden=16",
    ]
    command = [sys.executable, "-m", "elbox.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    metrics = tmp_path / "r" / "metrics.jsonl"
    while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.2)
    process.send_signal(sig)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "elbox resume r" in err
    assert "Traceback" not in err
    info = json.loads((tmp_path / "r" / "run.json").read_text())
    assert info["status"] == "interrupted"
    assert list((tmp_path / "r" / "checkpoints").glob("*.safetensors"))
