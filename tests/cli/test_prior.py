"""`elbox fit-prior`: another prior for a run, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from elbox.runs import load_run
from tests.cli.test_cli import FAST, elbox


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "run"
    assert elbox("fit", "digits", *FAST, "--set", "latent=2", "--out", out, "--quiet") == 0
    return out


@pytest.mark.parametrize("prior", ["mixture", "flow", "diffusion", "vae"])
def test_a_run_gets_another_prior(run, prior, capsys):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    size = ["--set", "components=3"] if prior == "mixture" else ["--set", "hidden=8", "--epochs", "2"]
    assert elbox("fit-prior", run, "--prior", prior, *size) == 0
    out = capsys.readouterr().out
    assert "second stage: held-out bound" in out
    assert "nats before" in out
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    new = load_run(run.with_name(f"run-{prior}"))
    record = new.info["second_stage"]
    assert record["of"] == str(run)
    assert record["after"]["distortion"] == pytest.approx(record["before"]["distortion"], rel=0.02)
    assert elbox("sample", new.folder, "--out", run.parent / f"{prior}.npy") == 0


def test_quantised_codes_get_an_autoregressive_prior(tmp_path, capsys):
    out = tmp_path / "vq"
    small = ["--set", "latent=4", "--set", "codes=8", "--set", "hidden=4,4", "--epochs", "2"]
    assert elbox("fit", "digits", "--recipe", "vq_vae", *small, "--out", out, "--quiet") == 0
    assert elbox("fit-prior", out, "--prior", "codes", "--set", "width=8", "--epochs", "20") == 0
    record = load_run(tmp_path / "vq-codes").info["second_stage"]
    assert record["after"]["rate"] < record["before"]["rate"]
    assert elbox("sample", tmp_path / "vq-codes", "--out", tmp_path / "new.npy") == 0


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--prior", "magic"], ["magic", "mixture", "diffusion"]),
        (["--prior", "codes"], ["no quantised codes", "vq_vae"]),
        (["--set", "components=many"], ["components=many", "whole number"]),
        (["--set", "hidden=8"], ["hidden=8", "components=10"]),
        (["--set", "kind=real"], ["kind", "leave it out"]),
        (["--epochs", "0"], ["epochs", "≥ 1"]),
    ],
)
def test_a_mistake_is_one_sentence(run, arguments, fragments, capsys):
    assert elbox("fit-prior", run, *arguments) == 2
    message = capsys.readouterr().err
    assert len(message.strip().splitlines()) == 1
    assert all(fragment in message for fragment in fragments)


def test_nothing_is_written_over(run, capsys):
    assert elbox("fit-prior", run, "--out", run) == 2
    assert "which exists; expected a new folder" in capsys.readouterr().err
