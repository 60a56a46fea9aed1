"""The loop against what it promises: seeds, averages, selection, interruption, errors, and no trace left behind."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from elbox.errors import NonFiniteError, SettingError
from elbox.train import Observer, Silent, Training, train
from elbox.train.schedules import burda, cosine
from tests.train.toys import Quadratic, ToyVAE, bits, held_out_bound

SHORT = Training(epochs=4, batch_size=8, evaluations=4)


def settings(**changes) -> Training:
    return Training(**{**SHORT.to_json(), **changes})


def weights(step) -> list[torch.Tensor]:
    return [p.detach().clone() for p in step.parameters()]


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_same_seed_same_numbers():
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(random.randrange(10**9))
        step = ToyVAE()
        torch.randn(random.randrange(100))  # whatever was drawn before must not matter
        train(step, bits(), settings(seed=seed))
        results.append(weights(step))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_leaves_no_trace_outside():
    step = ToyVAE()
    torch.set_float32_matmul_precision("high")
    before = (
        torch.get_rng_state(),
        random.getstate(),
        np.random.get_state()[1].copy(),
        signal.getsignal(signal.SIGINT),
    )
    train(step, bits(), settings(precision="bf16"), held_out=held_out_bound(step, bits()))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])
    assert before[3] is signal.getsignal(signal.SIGINT)
    assert torch.get_float32_matmul_precision() == "high"
    torch.set_float32_matmul_precision("highest")
    assert torch.get_default_dtype() == torch.float32


ENGINE = """
from elbox.train import train
from tests.train.toys import Quadratic as Step
SHORT = {"epochs": 1, "batch_size": 8, "precision": "32", "compile": False, "device": "cpu"}
def run():
    train(Step(), torch.ones(32, 2), elbox.Training(**SHORT))
"""
RECIPE = """
from elbox.train.step import Step
data = elbox.load("digits")
def run():
    elbox.fit(elbox.recipes.vae(data.spec), data, elbox.Training(epochs=1, compile=False, device="cpu"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("given", [ENGINE, RECIPE], ids=["train", "fit"])
def test_no_thread_multiplies_denormal_numbers(given):
    """Threads inherit the setting from the operation that starts them, which is to come after it."""
    program = """
def seen(self, *args, forward=Step.forward):
    product = torch.full((256, 256), 1e-20) @ torch.full((256, 256), 1e-23)  # large enough for two threads
    found.append(int(product.view(torch.int32).count_nonzero()))
    return forward(self, *args)

torch.set_num_threads(2)
found, Step.forward = [], seen
run()
print(len(found) > 4, sum(found))
"""
    command = [sys.executable, "-c", f"import torch\nimport elbox\n{given}{program}"]
    out = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["True", "0"]


def test_evaluation_does_not_disturb_training():
    with_, without = ToyVAE(), ToyVAE()
    rows = train(with_, bits(), settings(ema=0.9), held_out=held_out_bound(with_, bits())).history
    others = train(without, bits(), settings(ema=0.9)).history
    assert [r["loss"] for r in rows if r["split"] == "train"] == [r["loss"] for r in others]


def test_matches_a_loop_written_by_hand():
    """The whole engine at Adam, clipping and cosine equals twenty lines of torch over the same batches and noise."""
    from elbox.train.batches import Batches

    chosen = settings(clip=1.0, schedule="cosine", lr=0.01, seed=3)
    step, hand = ToyVAE(), ToyVAE()
    rows = train(step, bits(), chosen).history
    batches = Batches(bits(), 8, 3, torch.device("cpu"))
    optimizer = torch.optim.Adam(hand.parameters(), lr=0.01, fused=True)
    torch.manual_seed(3)
    losses = []
    for i in range(32):
        optimizer.param_groups[0]["lr"] = 0.01 * cosine(i / 32, 0)
        loss, _ = hand(batches.at(i))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(hand.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    assert same(weights(step), weights(hand))
    assert [r["loss"] for r in rows] == pytest.approx(
        np.array(losses, dtype=np.float64).reshape(4, 8).mean(1), rel=1e-12
    )


def test_rows():
    step = ToyVAE()
    rows = train(step, bits(), settings(), held_out=held_out_bound(step, bits())).history
    trained, held = ([r for r in rows if r["split"] == s] for s in ("train", "held_out"))
    assert [(r["epoch"], r["step"]) for r in trained] == [(1, 8), (2, 16), (3, 24), (4, 32)]
    assert trained[0]["elbo"] == pytest.approx(-(trained[0]["distortion"] + trained[0]["rate"]), rel=1e-5)
    assert {"lr", "loss", "seconds", "examples_per_second"} <= trained[0].keys()
    assert all("loss" not in r and {"bound", "distortion", "best", "seconds"} <= r.keys() for r in held)
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.parametrize(
    ("epochs", "evaluations", "at"), [(7, 20, [1, 2, 3, 4, 5, 6, 7]), (7, 2, [4, 7]), (1, 9, [1]), (6, 1, [6])]
)
def test_evaluations_are_a_number_and_include_the_last_epoch(epochs, evaluations, at):
    chosen = settings(epochs=epochs, evaluations=evaluations)
    rows = train(ToyVAE(), bits(), chosen, held_out=lambda: {"bound": 0.0}).history
    assert [r["epoch"] for r in rows if r["split"] == "held_out"] == at


def test_best_weights_are_left_and_patience_stops():
    step, seen = ToyVAE(), []
    bounds = iter([-5.0, -3.0, float("-inf"), -4.0])

    def held_out():
        seen.append(weights(step))
        return {"bound": next(bounds)}

    result = train(step, bits(), settings(epochs=20, evaluations=20, patience=2), held_out=held_out)
    assert (result.stopped_early, result.interrupted, result.steps) == (True, False, 32)
    assert (result.best_bound, result.best_step) == (-3.0, 16)
    assert same(weights(step), seen[1])
    assert not same(seen[1], seen[3])
    assert [r["best"] for r in result.history if r["split"] == "held_out"] == [True, True, False, False]


def test_a_held_out_bound_that_is_not_a_number_ends_the_run(tmp_path):
    bounds = iter([-5.0, float("nan")])
    chosen = settings(epochs=20, evaluations=20, checkpoint_seconds=0.0)
    with pytest.raises(NonFiniteError, match=r"held-out bound of nan at step 16 .*step-0000000008"):
        train(ToyVAE(), bits(), chosen, held_out=lambda: {"bound": next(bounds)}, folder=tmp_path)


def test_selection_uses_the_bound_and_not_the_loss():
    """A loss that only grows (as an annealed one may) does not make the first epoch the best."""

    class Annealed(Quadratic):
        def forward(self, x):
            loss, logs = super().forward(x)
            return loss + 100 * self.progress, logs

    step, x = Annealed(), torch.ones(64, 2)
    result = train(
        step, x, settings(lr=0.1, schedule="constant"), held_out=lambda: {"bound": -float((step.w - 1).square().sum())}
    )
    losses = [r["loss"] for r in result.history if r["split"] == "train"]
    assert losses == sorted(losses)
    assert result.best_step == result.steps


def test_progress_runs_from_zero_to_one():
    seen = []

    class Watch(Quadratic):
        def forward(self, x):
            seen.append(float(self.progress))
            return super().forward(x)

    train(Watch(), torch.ones(32, 2), settings(epochs=2))
    run = seen[-8:]  # before it, one trial step to count its cost
    assert run == pytest.approx([i / 7 for i in range(8)])


def test_burda_schedule_by_passes():
    chosen = settings(epochs=40, batch_size=32, schedule="burda", lr=1e-3)
    rates = [r["lr"] for r in train(Quadratic(), torch.ones(32, 2), chosen).history]
    stages = [i for i in range(4) for _ in range(3**i)]
    assert rates == pytest.approx([1e-3 * 10 ** (-i / 7) for i in stages])
    factors = [burda(0.5, p) for p in range(4000)]
    assert factors == sorted(factors, reverse=True)
    assert [sum(f == pytest.approx(10 ** (-i / 7)) for f in factors[:3280]) for i in range(8)] == [
        3**i for i in range(8)
    ]
    assert factors[3280:] == pytest.approx([0.1] * 720)


def test_average_is_evaluated_and_kept():
    step, x, seen = Quadratic(1), torch.ones(8, 1), []
    chosen = settings(epochs=30, evaluations=30, ema=0.8, optimizer="sgd", lr=0.05, schedule="constant")

    def held_out():
        seen.append(step.w.item())
        return {"bound": len(seen)}

    train(step, x, chosen, held_out=held_out)
    w, velocity, average = 0.0, 0.0, 0.0
    for n in range(1, 31):
        velocity = 0.9 * velocity + (w - 1)
        w -= 0.05 * velocity
        decay = min(0.8, (1 + n) / (10 + n))
        average = decay * average + (1 - decay) * w
        assert seen[n - 1] == pytest.approx(average, abs=1e-5)
    assert step.w.item() == pytest.approx(average, abs=1e-5)
    assert step.w.item() != pytest.approx(w, abs=1e-5)


def test_average_is_left_without_evaluation():
    a, b = Quadratic(1), Quadratic(1)
    train(a, torch.ones(8, 1), settings(ema=0.99))
    train(b, torch.ones(8, 1), settings())
    assert 0 < a.w.item() < b.w.item()


class Breaks(ToyVAE):
    """A step whose term `term` becomes NaN in training step number `at`."""

    def __init__(self, at: int, term: str) -> None:
        super().__init__()
        self.at, self.term, self.calls = at, term, -1  # the first call is the trial step

    def forward(self, x):
        loss, logs = super().forward(x)
        logs["rate/top"] = logs["rate"] * 0.5
        self.calls += 1
        if self.calls >= self.at:
            loss, logs[self.term] = loss * float("nan"), logs[self.term] * float("nan")
        return loss, logs


@pytest.mark.parametrize(("at", "term"), [(21, "rate/top"), (1, "distortion")])
def test_non_finite_loss_names_step_term_and_checkpoint(tmp_path, at, term):
    chosen = settings(checkpoint_seconds=0.0)
    with pytest.raises(NonFiniteError) as caught:
        train(Breaks(at, term), bits(), chosen, folder=tmp_path)
    message = str(caught.value)
    assert f"at step {at} (not finite: {term})" in message
    assert (
        f"step-00000000{16 if at == 21 else 0:02d}.safetensors" in message
    )  # the first is that of the initial weights


def test_non_finite_weights_are_never_saved(tmp_path):
    class BadGradient(ToyVAE):
        def forward(self, x):
            loss, logs = super().forward(x)
            if self.progress == 1:  # the last step: its loss is finite, its gradient is 0 · inf
                loss = loss + (self.encoder[0].bias * 0).sum().sqrt()
            return loss, logs

    with pytest.raises(NonFiniteError, match="weights that are not finite at step 32"):
        train(BadGradient(), bits(), settings(checkpoint_seconds=0.0), folder=tmp_path)
    assert [p.name[-14:-12] for p in sorted((tmp_path / "checkpoints").iterdir())] == ["16", "24"]


def test_finite_checks_come_within_an_epoch():
    step = Breaks(5, "distortion")
    with pytest.raises(NonFiniteError, match="at step 5"):
        train(step, bits(8 * 10_000), settings())
    assert step.calls <= 200


class Raises(ToyVAE):
    """A step that sends this process a signal in given training steps."""

    def __init__(self, number: int, *at: int) -> None:
        super().__init__()
        self.number, self.at, self.calls = number, at, -1

    def forward(self, x):
        self.calls += 1
        if self.calls in self.at:
            signal.raise_signal(self.number)
        return super().forward(x)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_finishes_the_step_and_saves(tmp_path, number):
    result = train(Raises(number, 11), bits(), settings(), folder=tmp_path)
    assert (result.interrupted, result.steps) == (True, 11)
    assert [p.name[-14:-12] for p in sorted((tmp_path / "checkpoints").iterdir())] == ["00", "11"]


def test_second_signal_aborts_at_once():
    before = signal.getsignal(signal.SIGINT)

    class Twice(Raises):
        def forward(self, x):
            out = super().forward(x)
            if self.calls in self.at:
                signal.raise_signal(signal.SIGINT)
            return out

    step = Twice(signal.SIGINT, 11)
    with pytest.raises(KeyboardInterrupt):
        train(step, bits(), settings())
    assert step.calls == 11
    assert signal.getsignal(signal.SIGINT) is before


def test_trains_in_another_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(train(ToyVAE(), bits(), settings())))
    thread.start()
    thread.join()
    assert results[0].steps == 32


def test_observer_sees_everything_and_is_ended_after_an_error():
    calls = []

    class Watch(Observer):
        def on_start(self, info):
            calls.append(("start", info["steps"], info["done"]))

        def on_step(self, step, total):
            calls.append(("step", step, total))

        def on_epoch(self, row):
            calls.append(("epoch", row["epoch"]))

        def on_evaluation(self, row):
            calls.append(("evaluation", row["bound"]))

        def on_end(self):
            calls.append(("end",))

    train(ToyVAE(), bits(), settings(epochs=1), held_out=lambda: {"bound": -1.0}, observer=Watch())
    assert calls == [
        ("start", 8, 0),
        *(("step", i, 8) for i in range(1, 8)),
        ("epoch", 1),
        ("evaluation", -1.0),
        ("step", 8, 8),
        ("end",),
    ]
    calls.clear()
    with pytest.raises(NonFiniteError):
        train(Breaks(1, "rate"), bits(), settings(), observer=Watch())
    assert calls[-1] == ("end",)


def test_small_data_make_one_batch():
    result = train(ToyVAE(), bits(5), settings(epochs=3))
    assert result.steps == 3


def test_impossible_requests():
    with pytest.raises(SettingError, match="patience without a held-out"):
        train(ToyVAE(), bits(), settings(patience=3))
    with pytest.raises(SettingError, match="no training examples"):
        train(ToyVAE(), bits()[:0], settings())
    frozen = ToyVAE().requires_grad_(False)
    with pytest.raises(SettingError, match="without trainable parameters"):
        train(frozen, bits(), settings())


def test_frozen_parameters_stay():
    step = ToyVAE()
    step.encoder.requires_grad_(False)
    before = weights(step)
    train(step, bits(), settings(ema=0.9))
    assert same(before[:4], weights(step)[:4])
    assert not same(before[4:], weights(step)[4:])


def test_messages_and_reasons():
    observer = Silent()
    result = train(ToyVAE(), bits(), settings(), observer=observer)
    assert [r.split()[0] for r in result.choice.reasons] == ["device", "precision", "not"]
    assert observer.messages == []
