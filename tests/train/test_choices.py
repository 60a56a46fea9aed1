"""Settings, optimisers, batches and the automatic choices of device, precision and compilation."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from elbox.errors import SettingError
from elbox.train import Choice, Training, train
from elbox.train import devices as d
from elbox.train.batches import Batches
from elbox.train.cost import Cost, count
from elbox.train.devices import choose, connect, device_name
from elbox.train.optimizers import OPTIMIZERS, build
from elbox.train.precision import evaluating, products
from elbox.train.processes import World
from tests.train.toys import ToyVAE, bits

CPU = torch.device("cpu")
SMALL, LARGE = Cost(1_000_000, 100, 100_000), Cost(10**9, 100, 100_000)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"epochs": 0}, "got epochs=0; expected a whole number ≥ 1 or null"),
        ({"epochs": 1.5}, "got epochs=1.5"),
        ({"epochs": True}, "got epochs=True"),
        ({"batch_size": None}, "got batch_size=None; expected a whole number ≥ 1"),
        ({"lr": 0}, "got lr=0; expected a number > 0"),
        ({"lr": float("nan")}, "got lr=nan"),
        ({"lr": "0.1"}, "got lr='0.1'"),
        ({"ema": 1.0}, "expected a decay between 0 and 1"),
        ({"clip": -1}, "got clip=-1; expected a number > 0 or null"),
        ({"optimizer": "lion"}, "expected one of adam, adamw, adamax, adagrad, sgd"),
        ({"optimizer": "sgd", "eps": 0.1}, "no ε"),
        ({"schedule": ["cosine"]}, "expected one of constant, cosine, warmup, burda"),
        ({"precision": 32}, "expected one of auto, 32, tf32, bf16, 16, 64"),
        ({"compile": "yes"}, "expected true, false, or null"),
        ({"device": "gpu"}, "expected auto, cpu, cuda, cuda:N or mps"),
        ({"seed": -1}, "got seed=-1; expected a whole number ≥ 0"),
        ({"checkpoint_seconds": float("inf")}, "got checkpoint_seconds=inf"),
        (
            {"momentum": 0.9},
            "unknown training settings momentum; expected some of epochs=None, batch_size=128, lr=0.003",
        ),
    ],
)
def test_bad_settings(bad, message):
    with pytest.raises(SettingError) as caught:
        Training.from_json(bad)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("examples", "passes"), [(100, 400), (1500, 400), (50_000, 13), (639_999, 2), (640_000, 1), (62_500_000, 1)]
)
def test_automatic_number_of_epochs(examples, passes):
    assert Training().passes(examples) == passes


def test_batches_are_a_permutation_without_the_rest():
    x = torch.arange(70, dtype=torch.uint8)
    batches = Batches(x, 8, seed=5, device=CPU)
    epochs = [torch.cat([batches.at(e * 8 + i) for i in range(8)]) for e in range(3)]
    assert len(batches) == 8
    assert all(e.dtype == torch.uint8 and len(e.unique()) == 64 for e in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    fresh = Batches(x, 8, seed=5, device=CPU)
    assert torch.equal(fresh.at(17), epochs[2][8:16])  # at once, without what came before
    assert not torch.equal(Batches(x, 8, seed=6, device=CPU).at(0), batches.at(0))


def test_every_example_is_left_out_equally_often():
    batches = Batches(torch.arange(10), 4, seed=0, device=CPU)
    times = torch.zeros(10)
    for step in range(2000):
        times[batches.at(step)] += 1
    assert times.sum() == 8000
    assert (times - 800).abs().max() < 4 * (1000 * 0.8 * 0.2) ** 0.5  # binomial, four standard deviations


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_minimise_and_fused_agrees(name):
    ends = []
    for fused in (True, False):
        w = nn.Parameter(torch.tensor([3.0, -2.0]))
        optimizer = build(name, [w], 0.05, eps=None, device="cpu", fused=fused)
        first = w.square().sum().item()
        for _ in range(50):
            optimizer.zero_grad()
            w.square().sum().backward()
            optimizer.step()
        assert w.square().sum().item() < first
        ends.append(w.detach())
    assert torch.allclose(*ends, rtol=1e-4, atol=1e-5)


def test_eps_reaches_the_optimizer():
    assert build("adam", [nn.Parameter(torch.ones(1))], 0.1, eps=1e-4, device="cpu").defaults["eps"] == 1e-4


def test_cost_is_counted_exactly_and_leaves_no_trace():
    step, x = ToyVAE(dims=12, hidden=16, latent=3), bits(8)
    step.register_buffer("counter", torch.zeros(()))
    forward = step.forward

    def counting(batch):
        step.counter += 1
        return forward(batch)

    step.forward = counting
    before = torch.get_rng_state()
    cost = count(step, x)
    assert cost.flops == 2 * 8 * (12 * 16 + 16 * 6 + 3 * 16 + 16 * 12)
    assert cost.calls > 20
    assert torch.equal(before, torch.get_rng_state())
    assert step.counter == 0
    assert count(step, x) == cost


def test_precision_is_chosen_by_size_and_processor(monkeypatch):
    monkeypatch.setattr(d, "cpu_has_bf16", lambda *, compiled: True)
    assert choose(Training(), "cpu", "", LARGE, 10).precision == "bf16"
    small = choose(Training(), "cpu", "", SMALL, 10)
    assert small.precision == "32"
    assert "with 1 million operations of its products a step, the network is too small" in small.reasons[1]
    monkeypatch.setattr(d, "cpu_has_bf16", lambda *, compiled: False)
    assert choose(Training(), "cpu", "", LARGE, 10).precision == "32"
    assert choose(Training(precision="bf16", compile=True), "cpu", "", SMALL, 10).precision == "bf16"
    asked = choose(Training(precision="bf16", compile=False), "cpu", "", LARGE, 10)  # products would be in float32
    assert asked.precision == "32"
    assert asked.reasons[1] == "precision 32: this cpu has no fast bfloat16 products uncompiled"
    assert choose(Training(precision="bf16"), "cuda:0", "", SMALL, 10).precision == "bf16"
    monkeypatch.setattr(d, "cpu_has_bf16", lambda *, compiled: compiled)  # AVX512-BF16 without AMX
    assert choose(Training(compile=False), "cpu", "", LARGE, 10).precision == "32"
    assert choose(Training(compile=True), "cpu", "", LARGE, 10).precision == "bf16"
    fragile = choose(Training(compile=True), "cpu", "", LARGE, 10, robust=False)
    assert fragile.precision == "32"
    assert "this likelihood would feel" in fragile.reasons[1]
    no_tf32 = choose(Training(precision="tf32"), "cpu", "", LARGE, 10)
    assert (no_tf32.precision, no_tf32.reasons[1]) == ("32", "precision 32: a cpu device has no TF32")
    assert choose(Training(precision="tf32"), "cuda:0", "", LARGE, 10).precision == "tf32"
    for precision, device in (("16", "cpu"), ("16", "mps"), ("bf16", "mps"), ("64", "mps")):
        with pytest.raises(SettingError, match="cannot do it"):
            choose(Training(precision=precision), device, "", SMALL, 10)


def test_compilation_is_chosen_by_the_length_of_the_run(monkeypatch):
    monkeypatch.setattr(d, "missing_compiler", lambda device: None)
    assert not choose(Training(), "cpu", "", SMALL, 5000).compile
    assert choose(Training(), "cpu", "", SMALL, 1_000_000).compile
    assert choose(Training(compile=True), "cpu", "", SMALL, 10).compile
    assert not choose(Training(compile=False), "cpu", "", SMALL, 1_000_000).compile
    monkeypatch.setattr(d, "missing_compiler", lambda device: "no C++ compiler was found")
    long = choose(Training(), "cpu", "", SMALL, 1_000_000)
    assert not long.compile
    assert "no C++ compiler was found" in long.reasons[2]
    assert "scales its gradients" in choose(Training(precision="16"), "cuda:0", "", SMALL, 1_000_000).reasons[2]
    with pytest.raises(SettingError, match=r"got compile=True, but no C\+\+ compiler was found"):
        choose(Training(compile=True), "cpu", "", SMALL, 10)


def test_compiler_is_looked_for(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    assert "C++ compiler" in (d.missing_compiler("cpu") or "")
    assert "mps" in (d.missing_compiler("mps") or "")


def test_failed_compilation_falls_back_or_is_an_error(monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("linker not found\nlong trace")

    monkeypatch.setattr("elbox.train.update.Update.compile", broken)
    monkeypatch.setattr("elbox.train.loop.choose", lambda *a, **k: Choice("cpu", "32", True, ("a", "b", "compiled: c")))
    chosen = Training(epochs=1, batch_size=8)
    result = train(ToyVAE(), bits(), chosen)
    assert not result.choice.compile
    assert result.choice.reasons[-1] == "not compiled after all: compilation failed (linker not found)"
    with pytest.raises(SettingError, match=r"compilation failed \(linker not found\); leave compile out"):
        train(ToyVAE(), bits(), Training(epochs=1, batch_size=8, compile=True))


@pytest.mark.parametrize(("amx", "precision"), [(False, "32"), (True, "bf16")])
def test_failed_compilation_says_in_which_precision_it_went_on(monkeypatch, amx, precision):
    def broken(*args, **kwargs):
        raise RuntimeError("linker not found")

    levels = []

    class Watch(ToyVAE):
        def forward(self, x):
            levels.append(torch.get_float32_matmul_precision())
            return super().forward(x)

    chosen = Choice("cpu", "bf16", True, ("a", "precision bf16: b", "compiled: c", "one thread: d"))
    monkeypatch.setattr("elbox.train.update.Update.compile", broken)
    monkeypatch.setattr("elbox.train.loop.choose", lambda *a, **k: chosen)
    monkeypatch.setattr(d, "cpu_has_bf16", lambda *, compiled: compiled or amx)
    choice = train(Watch(), bits(), Training(epochs=1, batch_size=8)).choice
    assert (choice.precision, choice.compile) == (precision, False)
    assert [reason.partition(":")[0] for reason in choice.reasons] == [
        "a", f"precision {precision}", "not compiled after all", "one thread",
    ]  # fmt: skip
    assert set(levels[1:]) == {"medium" if amx else "highest"}


def test_devices_of_several_processes(monkeypatch):
    """By what each process sees: all devices of its machine, or only its own, as where SLURM hands them out."""

    def devices(wanted, visible, taken, size=4, local_size=2):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: visible)
        worlds = [World(rank, size, rank % local_size, local_size) for rank in range(size)]
        return [d._device_of(wanted, world, taken)[0] for world in worlds]

    assert devices("auto", 2, ["A", "B", "C", "D"]) == ["cuda:0", "cuda:1"] * 2
    assert devices("auto", 1, ["A", "B", "C", "D"]) == ["cuda:0"] * 4
    assert devices("cuda", 8, ["A", "B"], size=2) == ["cuda:0", "cuda:1"]
    assert devices("auto", 0, [None] * 4) == ["cpu"] * 4
    assert devices("cpu", 2, []) == ["cpu"] * 4
    for taken in (["A", "A", "B", "B"], ["A", "B", None, None]):  # one for two processes; a machine without
        with pytest.raises(SettingError, match=r"for 4 processes, 2 on this machine, and 2 CUDA devices"):
            devices("auto", 1, taken)
    with pytest.raises(SettingError, match="0 CUDA devices"):
        devices("cuda", 0, [None] * 4)


def test_devices():
    assert device_name("cpu")[0] == "cpu"
    assert device_name("auto")[0] == ("cuda:0" if torch.cuda.is_available() else "cpu")
    with pytest.raises(SettingError, match="CUDA devices were found"):
        device_name("cuda:64")
    if not torch.backends.mps.is_available():
        with pytest.raises(SettingError, match="device='mps'"):
            device_name("mps")


def arithmetic() -> tuple[object, ...]:
    """All of torch's precision settings, of its older and of its newer interface."""
    backends = torch.backends
    places = (backends.cuda.matmul, getattr(backends.mkldnn, "matmul", None), getattr(backends.cudnn, "conv", None))
    values = [getattr(place, "fp32_precision", None) for place in places]
    for read in (torch.get_float32_matmul_precision, lambda: backends.cudnn.allow_tf32):
        values.append("mixed")  # unless it can be read
        with suppress(RuntimeError):
            values[-1] = read()
    return tuple(values)


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("precision", "level"), [("32", "highest"), ("tf32", "high"), ("bf16", "medium")])
def test_products_are_scoped(precision, level, mixed):
    torch.set_float32_matmul_precision("high")
    if mixed and not hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        pytest.skip("this torch has only the older interface")
    if mixed:
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.conv.fp32_precision = "ieee"
    outside = arithmetic()
    try:
        with products(precision):
            assert torch.get_float32_matmul_precision() == level
            assert torch.backends.cudnn.allow_tf32 == (precision != "32")
            with evaluating(precision):
                assert torch.get_float32_matmul_precision() == "highest"
                assert not torch.backends.cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == level
        assert arithmetic() == outside
    finally:
        torch.backends.cudnn.allow_tf32 = True
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("precision", ["32", "bf16", "64"])
def test_precisions_agree_within_their_rounding(precision):
    chosen = Training(epochs=10, batch_size=8, precision=precision, lr=0.01)
    reference = train(ToyVAE(seed=1), bits(), Training(epochs=10, batch_size=8, precision="32", lr=0.01))
    step = ToyVAE(seed=1)
    result = train(step, bits(), chosen)
    assert next(step.parameters()).dtype == (torch.float64 if precision == "64" else torch.float32)
    if precision != "64":  # in double, other noise is drawn
        last, expected = result.history[-1], reference.history[-1]
        assert last["elbo"] == pytest.approx(expected["elbo"], abs=0 if precision == "32" else 0.05)


def autocast(precision: str) -> Fabric:
    """What CUDA gets for "bf16" and "16", on the CPU: autocast, and loss scaling for "16"."""
    return Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision(f"{precision}-mixed", "cpu")])


def test_autocast_keeps_the_data(monkeypatch):
    """Fabric's own wrapper rounds float inputs to the compute type; the engine must not, since they are the data."""
    seen = []

    class Watch(ToyVAE):
        def forward(self, x):
            seen.append((x, self.encoder(x)))
            return super().forward(x)

    monkeypatch.setattr("elbox.train.session.connect", lambda choice: autocast("bf16"))
    x = bits().float() * 1013.25
    rows = train(Watch(), x, Training(epochs=2, batch_size=8, lr=0.01)).history
    rounded = [torch.equal(h, h.bfloat16().float()) for _, h in seen]
    assert rounded == [False] + [True] * 16  # the first step is the trial
    assert {h.dtype for _, h in seen} == {torch.float32}  # products are rounded, and nothing else
    assert all(batch.dtype == torch.float32 and set(batch.unique().tolist()) <= {0.0, 1013.25} for batch, _ in seen)
    assert rows[1]["loss"] < rows[0]["loss"]


def test_loss_scaling_clips_what_is_unscaled_and_resumes(monkeypatch, tmp_path):
    from elbox.train.checkpoint import Checkpoints, read_tensors

    monkeypatch.setattr("elbox.train.session.connect", lambda choice: autocast("16"))
    monkeypatch.setattr("elbox.train.loop.choose", lambda *a, **k: Choice("cpu", "16", False))
    chosen = Training(epochs=4, batch_size=8, clip=0.1, optimizer="sgd", lr=0.01)
    train(ToyVAE(), bits(), chosen, folder=tmp_path / "whole")
    train(ToyVAE(), bits(), chosen, folder=tmp_path / "parts", stop_after=13)
    train(ToyVAE(), bits(), chosen, folder=tmp_path / "parts", resume=True)
    (one, header), (other, other_header) = (
        read_tensors(Checkpoints(tmp_path / f / "checkpoints").paths()[-1]) for f in ("whole", "parts")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    scalers = [json.loads(h["state"])["scaler"] for h in (header, other_header)]
    assert scalers[0] == scalers[1]
    assert scalers[0]["scale"] > 1
    longest = sum(t.square().sum() for name, t in one.items() if "momentum_buffer" in name).sqrt()
    assert 0.05 < longest <= 0.1 / (1 - 0.9)  # gradients of norm ≤ 0.1, summed with momentum 0.9


def test_fabric_gets_what_was_chosen():
    for precision, name in (("32", "32-true"), ("bf16", "32-true"), ("64", "64-true")):
        fabric = connect(Choice("cpu", precision, False))
        assert (fabric.device.type, fabric.strategy.precision.precision) == ("cpu", name)
