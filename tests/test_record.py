"""The recorded step is the step: the same weights, after a few steps, as the one that runs operator by operator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elbox
from elbox.errors import SettingError
from elbox.record import missing_compiler, record, trace
from elbox.train import Training, train
from elbox.train.devices import Choice, connect
from elbox.train.step import Step
from elbox.train.update import Update
from tests.components import IMAGE, make, of
from tests.train.toys import ToyVAE, bits


def after(step: nn.Module, x: Tensor, *, how: str, settings: Training, steps: int = 3) -> dict[str, Tensor]:
    """The state of `step` after some optimiser steps, eager or recorded, with the same noise."""
    choice = Choice("cpu", "32", how != "eager")
    update = Update(step, settings, choice, connect(choice))
    step.train()
    if how != "eager":
        update.compile(x)
    torch.manual_seed(1)
    for n in range(steps):
        step.progress.fill_(n / steps)
        update(x, 0.01 * (n + 1), n + 1)
    return {name: t.clone() for name, t in update.tensors().items()}


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recording runs as it stands, which takes no compiler: what is tested is that nothing was left out of it."""

    def interpreted(graph: Any, inputs: Any, options: Any) -> Any:
        return graph

    monkeypatch.setattr(torch._inductor, "compile", interpreted)


# A bias before a normalisation has gradient 0, of which Adam would scale up the rounding.
PLAIN = {"recipes.bn_vae": {"optimizer": "sgd"}}
UNRECORDED = ("recipes.ffjord_vae",)  # an adaptive solver looks at numbers


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    unused = second.keys() - first.keys()  # of parameters without a gradient, such as those of a second stage: zeros
    assert not any(second[name].any() for name in unused if not name.endswith("/step"))
    assert first.keys() == second.keys() - unused
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=2e-4, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adamw", "eps": 1e-4},
        {"optimizer": "adamax"},
        {"optimizer": "adagrad"},
        {"optimizer": "sgd"},
        {"clip": 0.01},
        {"clip": 0.01, "optimizer": "sgd", "ema": 0.9},
        {"ema": 0.9},
    ],
    ids=str,
)
def test_every_optimizer(settings: dict[str, Any], uncompiled: None) -> None:
    chosen, x = Training(**settings), bits()
    same(*(after(ToyVAE(), x, how=how, settings=chosen) for how in ("eager", "recorded")))


@pytest.mark.parametrize("name", [n for n in of("recipes") if n not in UNRECORDED])
def test_every_recipe(name: str, uncompiled: None) -> None:
    """Through every estimator: the hook of `Path`, the baseline of `Score`, and noise in the encoder's input."""
    found = []
    for how in ("eager", "recorded"):
        recipe = make(name)
        x = torch.Generator().manual_seed(0)
        x = torch.rand(6, *IMAGE, generator=x).round()
        step = Step(recipe.model, recipe.objective, recipe.estimator)
        found.append(after(step, x, how=how, settings=Training(**PLAIN.get(name, {}))))
    same(*found)


@pytest.mark.parametrize("name", UNRECORDED)
def test_what_cannot_be_recorded_is_trained_as_it_stands(name: str) -> None:
    """Unless compilation was asked for, which is refused."""
    recipe, x = make(name), torch.rand(16, *IMAGE).round()
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    with pytest.raises(RuntimeError, match="value out of a tracing tensor"):
        after(step, x, how="recorded", settings=Training())
    assert not train(step, x, Training(epochs=1, batch_size=8)).choice.compile


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recipes.vae", "recipes.iwae", "recipes.conv_vae"])
def test_compiled(name: str) -> None:
    found = []
    for how in ("eager", "recorded"):
        recipe = make(name)
        x = torch.rand(6, *IMAGE, generator=torch.Generator().manual_seed(0)).round()
        step = Step(recipe.model, recipe.objective, recipe.estimator)
        found.append(after(step, x, how=how, settings=Training(ema=0.9)))
    same(*found)


def test_flow_posterior(uncompiled: None) -> None:
    """zuko's flows, which cannot be traced without a break from the outside, are operators like any other."""
    import zuko

    found = []
    for how in ("eager", "recorded"):
        torch.manual_seed(0)
        model = elbox.VAE(
            elbox.priors.StandardNormal(3),
            elbox.likelihoods.Bernoulli(elbox.nn.MLP(3, [8], (12,))),
            zuko.flows.MAF(3, 12, transforms=2, hidden_features=[8]),
        )
        step = Step(model, elbox.IWAE(4), elbox.Path())
        found.append(after(step, bits().float(), how=how, settings=Training()))
    same(*found)


def test_buffers_and_unused_parameters(uncompiled: None) -> None:
    class Normalised(ToyVAE):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(12)
            self.unused = nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Any:
            return super().forward(self.norm(x.float()))

    for optimizer in ("adam", "adagrad"):
        eager, recorded = (
            after(Normalised(), bits(), how=how, settings=Training(optimizer=optimizer))
            for how in ("eager", "recorded")
        )
        states = {name for name in recorded if name.startswith("optimizer")} - set(eager)
        same(eager, {name: t for name, t in recorded.items() if name not in states})
        assert all(not recorded[name].any() for name in states if "exp_avg" in name)  # of the unused parameter
        assert eager["model/norm.num_batches_tracked"] == 3


class Counts(ToyVAE):
    """Counts the steps that were taken in training mode, as batch normalisation does."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("taken", torch.zeros(()))
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Any:
        self.modes.append(self.training)
        if self.training:
            self.taken.add_(1)
        return super().forward(x)


def trained_after_evaluation() -> None:
    step = Counts().eval()  # as the model of a run is, which is to go on
    assert train(step, bits(), Training(epochs=2, batch_size=8, compile=True)).choice.compile
    assert step.taken == 16
    assert set(step.modes) == {True}


def test_a_model_that_was_evaluated_is_recorded_as_it_trains(uncompiled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elbox.train.devices.missing_compiler", lambda device: None)
    trained_after_evaluation()


@pytest.mark.slow
def test_a_model_that_was_evaluated_is_compiled_as_it_trains() -> None:
    if missing_compiler("cpu"):
        pytest.skip(str(missing_compiler("cpu")))
    trained_after_evaluation()


def test_recording_leaves_no_trace(uncompiled: None) -> None:
    step, choice = ToyVAE(), Choice("cpu", "32", True)
    update = Update(step, Training(ema=0.9), choice, connect(choice))
    before, noise = {n: t.clone() for n, t in update.tensors().items()}, torch.get_rng_state()
    update.compile(bits())
    after_it = update.tensors()
    assert all(torch.equal(after_it[name], t) for name, t in before.items())
    assert all(not t.any() for name, t in after_it.items() if name.startswith("optimizer"))
    assert torch.equal(noise, torch.get_rng_state())
    assert all(p.grad is None for p in step.parameters())


class Looks(ToyVAE):
    """A step whose Python depends on a tensor's value."""

    def forward(self, x: Tensor) -> Any:
        loss, logs = super().forward(x)
        return (loss if loss > 0 else 2 * loss), logs


class Remembers(ToyVAE):
    """A step that changes a tensor which is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.count = torch.zeros(())

    def forward(self, x: Tensor) -> Any:
        self.count.add_(1)
        return super().forward(x)


@pytest.mark.parametrize("kind", [Looks, Remembers])
def test_what_cannot_be_recorded_runs_eagerly_and_says_so(kind: type[ToyVAE]) -> None:
    plain = train(kind(), bits(), Training(epochs=1, batch_size=8, compile=False))
    with pytest.raises(SettingError, match="got compile=True, but compilation failed"):
        train(kind(), bits(), Training(epochs=1, batch_size=8, compile=True))
    choice = Choice("cpu", "32", True, ("device", "precision", "compiled: long run"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("elbox.train.loop.choose", lambda *a, **k: choice)
        result = train(kind(), bits(), Training(epochs=1, batch_size=8))
    assert "not compiled after all" in result.choice.reasons[2]
    assert [row["loss"] for row in result.history] == [row["loss"] for row in plain.history]


def test_products_in_bfloat16_are_the_large_ones_only() -> None:
    a, b, small = torch.randn(200, 300), torch.randn(300, 100), torch.randn(100, 10)
    bias = torch.randn(10)
    graph = trace(lambda a: [a @ b, torch.addmm(bias, a @ b, small)], [b, small, bias], [a], bf16=True)
    large, rest = graph(b, small, bias, a)
    exact = a.double() @ b.double()
    rounded = (a.bfloat16() @ b.bfloat16()).float()
    assert torch.equal(large, rounded)
    assert 0 < (large - exact).abs().max() < 0.01 * exact.abs().max()
    torch.testing.assert_close(rest, torch.addmm(bias, rounded, small))


def test_factors_are_rounded_once_and_again_when_they_change() -> None:
    a, w = torch.randn(200, 300), torch.randn(300, 300)

    def function(a: Tensor) -> list[Tensor]:
        turned, (part, _) = w.t(), w.split(200)
        found = [a @ w, a @ turned, a @ part.t()]
        w.mul_(3.1)
        found += [a @ turned, a @ part.t()]
        w.mul_(0.7)
        torch._foreach_mul_([w], 1.3)
        return [*found, a @ turned, a @ part.t()]

    old = w.clone()
    expected = function(a)
    w.copy_(old)
    graph = trace(function, [w], [a], bf16=True)
    w.copy_(old)
    for value, other in zip(graph(w, a), expected, strict=True):
        assert not torch.equal(value, other)
        assert (value - other).norm() < 0.01 * other.norm()
    casts = [node for node in graph.graph.nodes if torch.bfloat16 in node.args]
    assert len(casts) == 7  # a; w and its part, before and after each change


@pytest.mark.usefixtures("uncompiled")
def test_clipped_step_with_products_in_bfloat16() -> None:
    """Clipping changes a list of gradients at once."""
    torch.manual_seed(0)
    step, choice = ToyVAE(dims=400, hidden=300), Choice("cpu", "bf16", compile=True)
    update = Update(step, Training(clip=0.01, batch_size=64), choice, connect(choice))
    x = bits(64, 400)
    update.compile(x)
    before = [p.detach().clone() for p in step.parameters()]
    assert torch.isfinite(update(x, 0.01, 1)).all()
    assert not any(torch.equal(p, old) for p, old in zip(step.parameters(), before, strict=True))


def test_convolutions_in_bfloat16_have_the_gradients_of_their_sums() -> None:
    conv, x = nn.Conv2d(3, 4, 3, stride=2), torch.randn(5, 3, 9, 9)

    def step(x: Tensor) -> list[Tensor]:
        loss = conv(x).square().sum()
        return [loss.detach(), *torch.autograd.grad(loss, [conv.weight, conv.bias])]

    exact = step(x)
    state = [conv.weight, conv.bias]
    for value, other in zip(exact, trace(step, state, [x], bf16=True)(*state, x), strict=True):
        assert not torch.equal(value, other)
        assert (value - other).norm() < 0.01 * value.norm()


@pytest.mark.slow
def test_state_changes_in_place_and_noise_is_torchs() -> None:
    total = torch.zeros(3)
    add = record(lambda x: [total.add_(x + torch.randn(3)).sum()], [total], [torch.ones(3)])
    total.zero_()
    torch.manual_seed(3)
    noise = torch.randn(2, 3)
    torch.manual_seed(3)
    for n in range(2):
        torch.testing.assert_close(add(torch.ones(3))[0], (noise[: n + 1] + 1).sum())
    torch.testing.assert_close(total, noise.sum(0) + 2)


def test_long_runs_are_called_from_cpp_where_that_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def stubborn(graph: Any, inputs: Any, options: dict[str, Any]) -> Any:
        asked.append(options.get("cpp_wrapper", False))
        if asked[-1]:
            raise NotImplementedError
        return graph

    monkeypatch.setattr(torch._inductor, "compile", stubborn)
    choice = Choice("cpu", "32", True)
    before = ToyVAE()
    weights = {name: t.clone() for name, t in before.state_dict().items()}
    update = Update(before, Training(), choice, connect(choice))
    update.compile(bits(), steps=10)
    update.compile(bits(), steps=1_000_000)
    assert asked == [False, True, False]
    assert all(torch.equal(t, weights[name]) for name, t in before.state_dict().items())
