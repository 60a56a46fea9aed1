"""What a run shows of itself."""

from __future__ import annotations

import io
import sys

import pytest

from elbox.train import Bar, Lines, Silent, Training, progress, train
from elbox.train.progress import _duration
from tests.train.toys import ToyVAE, bits, held_out_bound


def fit(observer, **options):
    step = ToyVAE()
    chosen = Training(epochs=3, batch_size=8, evaluations=3)
    return train(step, bits(), chosen, held_out=held_out_bound(step, bits()), observer=observer, **options)


def test_lines():
    stream = io.StringIO()
    result = fit(Lines(stream, every=0.0))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training on 70 examples: 3 epochs of 8 steps, 8 examples a step"
    assert tuple(lines[1:4]) == result.choice.reasons
    row = result.history[-1]
    assert lines[-1].startswith("step 24/24 · distortion ")
    assert f"held-out {row['bound']:.2f}" in lines[-1]
    assert all(word in lines[-1] for word in ("rate", "ELBO -", "examples/s", "0 s left"))


def test_lines_are_rare():
    stream = io.StringIO()
    fit(Lines(stream))
    assert len(stream.getvalue().splitlines()) == 4 + 3  # the head, and one for each evaluation


def test_bar_on_a_terminal_and_ends(monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "160")
    bar = Bar()
    bar._progress.console.file = stream = io.StringIO()
    fit(bar)
    text = stream.getvalue()
    assert "24/24" in text
    assert all(word in text for word in ("distortion", "rate", "ELBO", "held-out", "examples/s", "left"))
    assert bar._progress.finished


def test_resumed_run_says_so(tmp_path):
    fit(Silent(), folder=tmp_path, stop_after=10)
    stream = io.StringIO()
    fit(Lines(stream), folder=tmp_path, resume=True)
    assert stream.getvalue().splitlines()[0].endswith("going on after step 10")


def test_choice_of_observer(monkeypatch):
    assert isinstance(progress(quiet=True), Silent)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert isinstance(progress(), Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(progress(), Bar)


def test_rich_is_imported_only_for_the_bar():
    import subprocess

    code = "import sys, elbox.train; sys.exit('rich' in sys.modules or 'lightning_fabric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.7, "1 min 00 s"), (75, "1 min 15 s"), (3700, "1 h 01 min")]
)
def test_duration(seconds, text):
    assert _duration(seconds) == text
