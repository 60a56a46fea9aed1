"""The doctor: each illness is found on a run that has it, and none on a healthy one."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

import elbox
from elbox import NonFiniteError, RunError, Training, recipes
from elbox.cli import main
from elbox.doctor import diagnosis, doctor
from tests.doctor.toys import QUICK, bad, digits, factors, healthy, trained


def names(run: elbox.Run) -> list[str]:
    return [finding.name for finding in doctor(run).findings]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["factors", "vae", "relu", "levels", "ae", "iwae"])
def test_a_healthy_run_is_said_to_be_healthy(which: str) -> None:
    found = doctor(healthy(which))
    assert found.findings == ()
    assert found.healthy
    (line,) = found.lines()
    assert line.startswith(f"nothing wrong was found by {len(diagnosis.RECORD + diagnosis.CHECKS)} checks: finite, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "expected", "says"),
    [
        ("collapsed", {"collapsed", "used"}, "the posterior has collapsed: rate 0.0"),
        ("unstable", {"stable", "noise"}, "training is unstable, its learning rate too high: the training objective"),
        ("dead", {"dead"}, "rectified units are 0 for all of 180 examples; lower lr (now 0.2)"),
        ("short", {"converged"}, "training was short: 33 steps in 3 epochs; train longer (--epochs 9)"),
        ("slow", {"converged"}, "the held-out bound rose by "),
        ("many units", {"collapsed"}, "of 40 are active (Var E[z|x] > 0.01), with a rate of"),
        ("no rate weight", {"noise", "inference"}, "cost more than they save in distortion; weigh the rate with 1"),
        ("fixed sigma", {"spread"}, "× the variance of FixedGaussian; take likelihood=Gaussian, which learns"),
        ("poisson", {"spread"}, "× the variance of Poisson; take likelihood=NegativeBinomial"),
        ("gaussian on counts", {"kind"}, "100 % of the values are whole numbers (count), Gaussian a density"),
        ("overfit", {"overfitting", "saturated"}, "the model overfits: elbo -"),
    ],
)
def test_what_is_wrong_is_found(what: str, expected: set[str], says: str) -> None:
    found = doctor(bad(what))
    assert expected <= {finding.name for finding in found.findings}
    assert any(says in line for line in found.lines()), found.lines()
    for finding in found.findings:
        assert math.isfinite(finding.value)
        assert any(ch.isdigit() for ch in finding.measured), "each finding has its number"


def few(recipe: elbox.Recipe, data: elbox.Data, epochs: int = 30, **settings: object) -> elbox.Run:
    return trained(recipe, data, epochs, **settings)


def test_pinned_variance_and_few_codes() -> None:
    """By hand: a σ at its floor, and an encoder that always takes the same code."""
    run = few(recipes.vae(factors().spec, latent=3, hidden=(8,)), factors())
    with torch.no_grad():
        run.model.likelihood.log_sigma.fill_(-60.0)
    (finding,) = [f for f in doctor(run).findings if f.name == "floor"]
    assert finding.value == 1
    assert "100 % of all σ are below a thousandth of the data's spread" in finding.measured
    run = few(recipes.gumbel_vae(digits().spec, hidden=(8,)), digits())
    last = [m for m in run.model.posterior.modules() if hasattr(m, "bias")][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.fill_(-20.0).view(-1, run.model.posterior.categories)[:, 0] = 20.0
    (finding,) = [f for f in doctor(run).findings if f.name == "codebook"]
    assert finding.value == pytest.approx(1, abs=1e-3)
    assert "perplexity 1 of 10, 90 % of the codes hardly ever used" in finding.measured


def test_a_codebook_that_died() -> None:
    """By hand: an encoder whose vectors all lie next to the same code."""
    run = few(recipes.vq_vae(digits().spec, latent=4, codes=16, hidden=(4, 4)), digits(), 2)
    last = [m for m in run.model.posterior.modules() if getattr(m, "bias", None) is not None][-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(run.model.posterior.codebook(torch.tensor([[3]])))
    (finding,) = [f for f in doctor(run).findings if f.name == "codebook"]
    assert finding.value == pytest.approx(1)
    assert "perplexity 1 of 16, 94 % of the codes hardly ever used" in finding.measured
    assert "fsq_vae" in finding.advice


def test_a_schedule_that_did_not_finish() -> None:
    """Weights from before the end of a warm-up: by hand, the best of the rows is an early one."""
    run = few(recipes.vae(digits().spec, latent=2, hidden=(8,), warmup=0.9), digits(), 30)
    for row in run.metrics:
        if row["split"] == "held_out":
            row["best"] = row["step"] <= 0.3 * run.info["steps"]
    (finding,) = [f for f in doctor(run).findings if f.name == "schedule"]
    assert "beta was 0.3" in finding.measured
    assert "schedule" not in names(healthy_enough())


def healthy_enough() -> elbox.Run:
    return few(recipes.vae(digits().spec, latent=2, hidden=(8,)), digits(), 30)


def test_a_run_that_failed_is_read_from_its_record(tmp_path) -> None:
    """A learning rate at which the loss is NaN: the record says so, and there are no weights."""
    data, out = factors(), tmp_path / "run"
    recipe = recipes.vae(data.spec, latent=2, hidden=(8,))
    with pytest.raises(NonFiniteError):
        elbox.fit(recipe, data, Training(epochs=40, lr=1e30, schedule="constant", **QUICK), out=out)
    assert json.loads((out / "run.json").read_text())["status"] == "failed"
    found = doctor(out)
    assert found.findings[0].name == "finite"
    assert "lower lr (now 1e+30), or set clip=1" in str(found.findings[0])
    assert set(found.skipped.values()) == {"the run has no trained weights"}
    assert not found.healthy


def test_unfinished_runs_and_numbers_that_are_not_finite(tmp_path) -> None:
    run = healthy_enough()
    run.save(tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "interrupted", "steps": 99}))
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[:10]
    rows[5] = rows[5].replace('"distortion": ', '"distortion": NaN, "was": ')
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(rows) + "\n")
    found = {f.name: str(f) for f in doctor(tmp_path / "run").findings}
    assert "training is not finished: 99 of 330 steps (30 %) done; go on with: elbox resume" in found["finished"]
    assert "1 values in metrics.jsonl are NaN or infinite, the first distortion at step" in found["finite"]


def test_gaps_that_were_measured_choose_the_advice(tmp_path) -> None:
    """A posterior that is much too wide: the gap is large, and gaps.json says whose it is."""
    run = few(recipes.vae(digits().spec, latent=4, hidden=(32,)), digits())
    with torch.no_grad():
        last = [m for m in run.model.posterior.modules() if hasattr(m, "bias")][-1]
        last.bias[4:] += 2.0
    run.save(tmp_path / "run")
    before = next(str(f) for f in doctor(tmp_path / "run").findings if f.name == "inference")
    assert f"elbox evaluate {tmp_path / 'run'} --gaps says which" in before
    assert "k̂ > 0.7 for " in before
    found = {"family": "diagonal", "approximation": {"diagonal": {"mean": 0.1}}, "amortisation": {"mean": 9.0}}
    (tmp_path / "run" / "gaps.json").write_text(json.dumps(found))
    after = next(str(f) for f in doctor(tmp_path / "run").findings if f.name == "inference")
    assert "take a larger encoder, or train it longer (approximation gap 0.1, amortisation gap 9 nats)" in after


def test_nothing_is_changed_and_the_same_is_found_again() -> None:
    run = healthy_enough()
    state, weights = torch.get_rng_state(), {k: v.clone() for k, v in run.model.state_dict().items()}
    assert doctor(run) == doctor(run)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, weights[k]) for k, v in run.model.state_dict().items())


def test_a_model_of_parts_and_one_without_an_encoder() -> None:
    """No check breaks on parts that it does not know; what says nothing of them says nothing."""
    recipe = recipes.vae_full_covariance(digits().spec, latent=2, hidden=(8,))
    assert doctor(few(replace(recipe, objective=elbox.ELBO(beta=2.0)), digits(), 2)).skipped == {}
    assert "used" not in names(few(recipes.gan(digits().spec, latent=4, hidden=(8,), discriminator=(8,)), digits(), 1))


def test_command_line(tmp_path, capsys) -> None:
    run = few(recipes.vae(digits().spec, latent=2, hidden=(8,)), digits(), 2)
    run.save(tmp_path / "run")
    for arguments in ([], ["--json"]):
        with pytest.raises(SystemExit) as stop:
            main(["doctor", str(tmp_path / "run"), *arguments])
        assert not stop.value.code, "0 whatever was found"
    lines, _, document = capsys.readouterr().out.partition("{")
    assert "training was short: 22 steps in 2 epochs; train longer (--epochs 6)" in lines
    found = json.loads("{" + document)
    assert found["findings"][0]["name"] == "converged"
    assert found["findings"][0]["value"] == 22
    assert not found["healthy"]
    with pytest.raises(SystemExit) as stop:
        main(["doctor", str(tmp_path / "nowhere")])
    assert stop.value.code == 2
    assert "expected the folder of a run" in capsys.readouterr().err
    with pytest.raises(RunError, match=r"holds no run\.json"):
        doctor(tmp_path)


@pytest.mark.slow
def test_gaps_on_the_command_line(tmp_path, capsys) -> None:
    run = few(recipes.vae(digits().spec, latent=2, hidden=(8,)), digits(), 2)
    run.save(tmp_path / "run")
    arguments = ["evaluate", str(tmp_path / "run"), "--samples", "25", "--quiet"]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--gaps", "--examples", "2", "--temperatures", "2", *more])
        assert not stop.value.code
    text, _, document = capsys.readouterr().out.partition("{")
    for words in ("gaps, 2 examples", "amortisation gap, diagonal", "approximation gap, full-covariance", "k̂ > 0.7"):
        assert words in text
    assert json.loads("{" + document)["gaps"]["n"] == 2
    assert json.loads((tmp_path / "run" / "gaps.json").read_text())["protocol"]
    few(recipes.ae(digits().spec, latent=2, hidden=(8,)), digits(), 1).save(tmp_path / "ae")
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", str(tmp_path / "ae"), "--gaps"])
    assert stop.value.code == 2
    assert "got gaps on an autoencoder" in capsys.readouterr().err


def test_data_that_are_gone_leave_the_record(tmp_path) -> None:
    run = few(recipes.vae(factors().spec, latent=2, hidden=(8,)), factors(), 2)
    run.save(tmp_path / "run")  # of an array in memory
    found = doctor(tmp_path / "run")
    assert set(found.checked) == {check.__name__ for check in diagnosis.RECORD}
    assert set(found.skipped) == {check.__name__ for check in diagnosis.CHECKS}
    assert found.lines()[-1].startswith("not checked (kind, floor, ")
