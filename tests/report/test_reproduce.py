"""The command that the page prints makes the same run: parsed by the command line, not by eye."""

from __future__ import annotations

import shlex
from dataclasses import replace

import numpy as np
import pytest

import elbox
from elbox import recipes
from elbox.nn import MLP
from elbox.report.markup import fragment, tag
from elbox.report.reproduce import reproduce
from elbox.report.subject import Subject
from elbox.report.trained import brief, duration
from elbox.schedules import Linear
from tests.report.toys import QUICK, digits


def command(run: elbox.Run) -> str:
    return reproduce(Subject(run, run.evaluate(samples=2)))[0]


def small(recipe: elbox.Recipe, data: elbox.Data, **settings: object) -> elbox.Run:
    return elbox.fit(recipe, data, replace(QUICK, epochs=1, **settings))


def test_defaults_are_left_out():
    words = shlex.split(command(digits(latent=2)))
    assert words[:5] == ["elbox", "fit", "digits", "--recipe", "vae"]
    assert "--no-compile" in words
    assert {"hidden=32", "latent=2"} <= set(words)
    assert not any(w.startswith(("warmup", "--lr", "--seed", "--batch", "schedule", "activation")) for w in words)


def test_a_run_with_another_prior_says_that_it_is_one():
    from elbox.priors import LearnedNormal

    run = digits(latent=2).fit_prior(LearnedNormal(2), replace(QUICK, epochs=1, lr=0.01))
    program = command(run)
    assert "run = run.fit_prior(prior, elbox.Training(epochs=1" in program
    assert "lr=0.01" in program.splitlines()[-1]


def test_the_command_line_makes_the_same_run_of_it(tmp_path):
    from elbox.cli import main

    data = elbox.load("digits", binarise="static")
    beta = Linear(0.0, 4.0, over=0.5)
    recipe = recipes.beta_vae(data.spec, latent=3, hidden=(8, 8), beta=beta, seed=5)
    run = small(recipe, data, seed=5, lr=3e-4, optimizer="adamax", schedule="cosine", clip=2.5, batch_size=200)
    with pytest.raises(SystemExit) as stop:
        main([*shlex.split(command(run))[1:], "--quiet", "--out", str(tmp_path / "run")])
    assert not stop.value.code
    again = elbox.load_run(tmp_path / "run")
    for key in ("recipe", "training", "data", "protocol", "best_bound"):
        assert again.info[key] == run.info[key], key


def test_python_where_no_command_can_say_it():
    x = np.random.default_rng(0).normal(size=(60, 3))
    data = elbox.from_array(x, seed=3, name="measured")
    run = small(recipes.vae(data.spec, latent=1, hidden=(4,), seed=2), data, seed=1)
    program = command(run)
    scope: dict[str, object] = {"x": x}
    exec(program, scope)
    again = scope["run"]
    assert isinstance(again, elbox.Run)
    assert again.info["best_bound"] == run.info["best_bound"]
    assert data.source["fingerprint"] in program


def test_models_of_parts_say_where_they_are_described():
    data = elbox.load("digits")
    recipe = recipes.vae(data.spec, latent=2, hidden=(8,))
    assert "made of parts" in command(small(replace(recipe, estimator=elbox.Path()), data))


def test_parts_are_told_on_one_line():
    assert brief(MLP(2, [8, 8], (1, 4, 4))) == "MLP(inputs=2, hidden=8×8, outputs=1×4×4)"
    assert brief(elbox.ELBO(beta=4.0)) == "ELBO(beta=4)"
    assert brief(elbox.ELBO()) == "ELBO()"
    assert brief(np) == "module()"


def test_durations_are_as_people_say_them():
    assert [duration(s) for s in (0.04, 12.3, 59.9, 61, 3600, 7325)] == [
        "0.0 s", "12 s", "60 s", "1 min 1 s", "1 h 0 min", "2 h 2 min",
    ]  # fmt: skip


def test_markup_escapes_text_and_attributes():
    assert tag("p", '<&"', title='"<') == '<p title="&quot;&lt;">&lt;&amp;"</p>'
    assert fragment("a < b", tag("br")) == "a &lt; b<br>"
