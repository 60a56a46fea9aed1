"""Autoencoders with penalties as a user meets them: trained, resumed, averaged, saved, sampled, and refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import elbox
from elbox import IncompatibleError, Recipe, Training, recipes
from elbox.cli import main
from elbox.data import Data
from elbox.evaluate import held_out
from elbox.objectives import Distortion, Penalized, Perceptual
from elbox.objectives.penalties.ms_ssim import ms_ssim
from elbox.parts import part
from elbox.record import trace
from elbox.train import train
from elbox.train.checkpoint import read_tensors
from elbox.train.step import Step

QUICK = Training(epochs=2, batch_size=64, device="cpu", precision="32", compile=False, evaluations=2)
SMALL: dict[str, dict[str, Any]] = {
    "aae": {"hidden": (16,), "discriminator": (8,)},
    "wae_gan": {"hidden": (16,), "discriminator": (8,)},
    "rae_l2": {"hidden": (16,), "components": 3},
    "rae_gp": {"hidden": (16,), "components": 3},
    "contractive_ae": {},
    "vae_gan": {"hidden": (16,), "discriminator": (16, 8)},
    "gan": {"hidden": (16,), "discriminator": (8,)},
    "ms_ssim_vae": {"hidden": (16,)},
}
DETERMINISTIC = ("aae", "wae_gan", "rae_l2", "rae_gp", "contractive_ae")


@pytest.fixture(scope="module")
def digits() -> Data:
    return elbox.load("digits", binarise="static")


def made(name: str, data: Data, **settings: Any) -> Recipe:
    return recipes.RECIPES[name](data.spec, **{"latent": 3} | SMALL[name] | settings)


def weights(module: nn.Module) -> list[Tensor]:
    return [t.detach().clone() for t in module.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# ── training ────────────────────────────────────────────────────────────────────────────────────────────────────────


def penalties(recipe: Recipe, x: Tensor) -> list[float]:
    with torch.no_grad():
        terms = recipe.model.eval().terms(x)
    return [float(p(terms).mean()) for p in recipe.objective.penalties]


@pytest.mark.parametrize(
    ("name", "strong", "weak", "which"),
    [
        ("rae_l2", {"weight": 0.1}, {"weight": 0.0}, 1),
        ("rae_l2", {"beta": 1.0}, {"beta": 0.0}, 0),
        ("rae_gp", {"weight": 10.0}, {"weight": 0.0}, 1),
        ("contractive_ae", {"weight": 10.0}, {"weight": 0.0}, 0),
        ("contractive_ae", {"weight": 10.0, "probes": 1}, {"weight": 0.0}, 0),
    ],
)
def test_a_penalty_lowers_what_it_penalises(
    name: str, strong: dict[str, Any], weak: dict[str, Any], which: int, digits: Data
) -> None:
    found = []
    for settings in (strong, weak):
        run = elbox.fit(made(name, digits, **settings), digits, replace(QUICK, epochs=6))
        recipe = replace(run.recipe, objective=made(name, digits).objective)
        network = run.model.likelihood.net
        if name == "rae_l2" and which == 1:
            found.append(sum(float(p.square().sum()) for p in network.parameters() if p.dim() > 1))
        else:
            found.append(penalties(recipe, digits.examples("test"))[which])
    assert found[0] < 0.7 * found[1]


@pytest.mark.slow
def test_ms_ssim_rises(digits: Data) -> None:
    x = digits.examples("test")
    run = elbox.fit(made("ms_ssim_vae", digits, latent=10), digits, replace(QUICK, epochs=30))
    before, after = (
        float(ms_ssim(x, model.reconstruct(x), 1.0, 7).mean())
        for model in (made("ms_ssim_vae", digits).model, run.model)
    )
    assert after > before + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aae", "wae_gan"])
def test_the_adversary_brings_codes_to_the_prior(name: str, digits: Data) -> None:
    """Codes that begin far from N(0, I) come nearer, in mean and spread, than without the penalty."""
    x, found = digits.examples("train"), []
    for weight in (10.0, 0.0):
        recipe = (
            made("wae_gan", digits, discriminator=(32,), weight=weight) if name == "wae_gan" else made(name, digits)
        )
        if name == "aae" and weight == 0.0:
            recipe.objective.penalties[0].weight = 0.0
        with torch.no_grad():
            recipe.model.posterior.net.net[-1].bias.fill_(3.0)
        run = elbox.fit(recipe, digits, replace(QUICK, epochs=25, lr=3e-3, schedule="constant"))
        z = elbox.encode(run.model, x)
        found.append(float(z.mean(0).norm() + (z.std(0) - 1).norm()))
    assert found[0] < 0.5 * found[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gan", "vae_gan"])
def test_generators_learn_the_mean_image(name: str, digits: Data) -> None:
    """After 300 steps what they draw has the pixels' frequencies far better than at the start."""
    x = digits.examples("train")
    recipe = made(name, digits, hidden=(32,), discriminator=(32, 16))
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    torch.manual_seed(0)
    with torch.no_grad():  # a start from which there is something to learn
        recipe.model.likelihood.net.net[-1].bias.normal_(std=2)
    optimizer, far = torch.optim.Adam(step.parameters(), 3e-3), []
    for steps in (0, 300):
        for _ in range(steps):
            optimizer.zero_grad()
            step(x[torch.randint(len(x), (64,))])[0].backward()
            optimizer.step()
        with torch.no_grad():
            far.append(float((recipe.model.sample(500, mean=True).mean(0) - x.mean(0)).abs().mean()))
    assert far[1] < 0.75 * far[0]


@pytest.mark.parametrize("name", SMALL)
def test_the_recording_is_the_step(name: str, digits: Data) -> None:
    """Double backward, frozen players and all: the recorded graph has the eager loss and gradient on the same noise."""
    recipe, x = made(name, digits), digits.examples("train", 16)
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    weights, state = list(step.parameters()), [*step.parameters(), *step.buffers()]

    def gradients(x: Tensor) -> list[Tensor]:
        loss, _ = step(x)
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        return [loss, *(g for g in found if g is not None)]

    graph = trace(gradients, state, [x])
    ends = []
    for run in (gradients, lambda x: graph(*[t.detach() for t in state], x)):
        torch.manual_seed(1)
        ends.append(run(x))
    assert len(ends[0]) > 2
    torch.testing.assert_close(list(ends[1]), ends[0], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_recorded_and_eager_steps_agree(name: str, digits: Data) -> None:
    """The compiled step moves every weight as the eager one does; none falls back."""
    ends = []
    for compile in (False, True):
        recipe = copy.deepcopy(made(name, digits))
        step = Step(recipe.model, recipe.objective, recipe.estimator)
        result = train(step, digits.train.x[:128], replace(QUICK, compile=compile))
        assert result.choice.compile == compile, result.choice.reasons
        ends.append(weights(step))
    for eager, recorded in zip(*ends, strict=True):
        torch.testing.assert_close(recorded, eager, atol=2e-4, rtol=1e-3)


# ── one object in two places ────────────────────────────────────────────────────────────────────────────────────────


def network_of(recipe: Recipe) -> tuple[nn.Module, nn.Module]:
    """The two places of the object that rae_l2 and contractive_ae have in two places."""
    if recipe.name == "contractive_ae" or not isinstance(recipe.objective.penalties[0], elbox.objectives.CodeNorm):
        return recipe.model.posterior.net, recipe.model.likelihood.net.layer
    return recipe.model.likelihood, recipe.objective.penalties[1].network


@pytest.mark.parametrize("name", ["rae_l2", "contractive_ae"])
def test_it_stays_one_object(name: str, digits: Data) -> None:
    """Through deepcopy, through JSON by name and part by part, and through a run on disk."""
    recipe = made(name, digits)
    by_parts = Recipe.from_json(json.loads(json.dumps(replace(recipe).to_json())), digits.spec)
    by_name = Recipe.from_json(json.loads(json.dumps(recipe.to_json())), digits.spec)
    for other in (copy.deepcopy(recipe), by_parts, by_name):
        one, two = network_of(other)
        assert one is two
        assert one is not network_of(recipe)[0]
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    parameters = [p for _, p in step.named_parameters()]
    assert len({id(p) for p in parameters}) == len(parameters)
    assert len(parameters) == len(list(recipe.model.parameters()))


@pytest.mark.parametrize("name", SMALL)
def test_stop_average_and_resume(name: str, digits: Data, tmp_path: Path) -> None:
    """Twice 2 epochs are 4, to the bit, with averaged weights; the weights on disk are those of the run."""
    ends, settings = {}, replace(QUICK, epochs=4, ema=0.9, checkpoint_seconds=0.0)
    x, held = digits.train.x[:256], digits.examples("valid")
    for way in ("whole", "halves"):
        for stop in (None,) if way == "whole" else (9, None):
            recipe = copy.deepcopy(made(name, digits))
            step = Step(recipe.model, recipe.objective, recipe.estimator)

            def bound(recipe: Recipe = recipe) -> dict[str, float]:
                return held_out(recipe.model, held, recipe.objective.bound())

            resumes = way == "halves" and stop is None
            train(step, x, settings, held_out=bound, folder=tmp_path / way, stop_after=stop, resume=resumes)
        ends[way] = weights(step)
    assert same(ends["whole"], ends["halves"])


@pytest.mark.parametrize("name", SMALL)
def test_saved_and_loaded(name: str, digits: Data, tmp_path: Path) -> None:
    run = elbox.fit(made(name, digits), digits, QUICK, out=tmp_path / "run")
    loaded = elbox.load_run(tmp_path / "run")
    assert same(weights(run.model), weights(loaded.model))
    x = digits.examples("test")
    assert torch.equal(run.model.reconstruct(x), loaded.model.reconstruct(x))
    tensors, _ = read_tensors(tmp_path / "run" / "model.safetensors")
    assert set(tensors) == set(run.model.state_dict())
    if loaded.model.prior is not None:
        for model in (run.model, loaded.model):
            torch.manual_seed(1)
            ends = model.sample(5)
            assert ends.shape == (5, 1, 8, 8)
    if name.startswith("rae"):
        assert bool(loaded.model.prior.means.any()), "the mixture was fitted, and saved"


def test_tied_weights_stay_tied_by_training(digits: Data) -> None:
    run = elbox.fit(made("contractive_ae", digits), digits, replace(QUICK, ema=0.9))
    one, two = run.model.posterior.net, run.model.likelihood.net.layer
    assert one is two
    fresh = made("contractive_ae", digits).model
    assert not torch.equal(one.affine.weight, fresh.posterior.net.affine.weight)


# ── features that a user gives ──────────────────────────────────────────────────────────────────────────────────────


@part
class Bands(nn.Module):
    """Two layers of features, with dropout that must never act and statistics that must never move."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, width, 3), nn.BatchNorm2d(width)
        self.second, self.drop = nn.Conv2d(width, width, 3), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> list[Tensor]:
        first = self.norm(self.first(x))
        return [first, self.drop(self.second(first.relu()))]


def perceptual(data: Data, weight: float = 1.0) -> tuple[Recipe, Bands]:
    base, features = recipes.ae(data.spec, latent=3, hidden=(16,)), Bands()
    for p in features.parameters():
        p.data.normal_()
    return replace(base, objective=Penalized(Distortion(), [Perceptual(features, weight)])), features


def test_perceptual_distance_by_hand(digits: Data) -> None:
    recipe, features = perceptual(digits)
    x = digits.examples("test", 5)
    step = Step(recipe.model, recipe.objective, recipe.estimator).train()
    assert not features.norm.training
    terms = recipe.model.terms(x, samples=2)
    made = terms.px.mean
    right = sum(
        0.5 * (a - b).square().flatten(1).sum(1)
        for k in range(2)
        for a, b in zip(features(x), features(made[k]), strict=True)
    )
    torch.testing.assert_close(recipe.objective.penalties[0](terms), right / 2)
    step(x)[0].backward()
    assert all(p.grad is None for p in features.parameters())
    assert all(p.grad is not None for p in recipe.model.parameters())


def test_given_features_are_never_trained_but_kept_in_checkpoints(digits: Data, tmp_path: Path) -> None:
    recipe, features = perceptual(digits)
    before, settings = weights(features), replace(QUICK, epochs=4, ema=0.9, checkpoint_seconds=0.0)
    run = elbox.fit(recipe, digits, settings, out=tmp_path / "run")
    assert same(before, weights(run.recipe.objective.penalties[0].features))
    assert not any("features" in n for n in read_tensors(tmp_path / "run" / "model.safetensors")[0])
    checkpoint = max((tmp_path / "run" / "checkpoints").glob("*.safetensors"))
    kept = {n for n in read_tensors(checkpoint)[0] if n.startswith("model/objective") and "penalties" not in n}
    assert {n.rsplit(".features.")[-1] for n in kept} == set(features.state_dict())
    with pytest.raises(elbox.RunError, match=r"Bands.*use allow="):
        elbox.load_run(tmp_path / "run")
    assert (
        elbox.load_run(tmp_path / "run", allow=(Bands,)).recipe.objective.penalties[0].features.norm.num_features == 4
    )


def test_given_features_are_the_same_after_a_resume(digits: Data, tmp_path: Path) -> None:
    x, ends = digits.train.x[:256], []
    settings = replace(QUICK, epochs=4, checkpoint_seconds=0.0)
    for way, stops in (("whole", (None,)), ("halves", (9, None))):
        for i, stop in enumerate(stops):
            torch.manual_seed(7 if i == 0 else 8)  # the second session begins with other features, and takes the saved
            recipe, _ = perceptual(digits)
            step = Step(recipe.model, recipe.objective, recipe.estimator)
            train(step, x, settings, folder=tmp_path / way, stop_after=stop, resume=i > 0)
        ends.append(weights(step))
    assert same(*ends)


# ── the command line ────────────────────────────────────────────────────────────────────────────────────────────────


def cli(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder, done = tmp_path_factory.mktemp("runs"), {}

    def run(name: str) -> Path:
        if name not in done:
            done[name] = folder / name
            fast = ["--epochs", "2", "--no-compile", "--precision", "32", "--set", "latent=2", "--quiet"]
            sets = [
                ("--set", f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}") for k, v in SMALL[name].items()
            ]
            words = [w for pair in sets for w in pair]
            assert cli("fit", "digits", "--recipe", name, *fast, *words, "--out", done[name]) == 0
        return done[name]

    return run


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_deterministic_code_has_a_distortion_and_nothing_else(
    name: str, fitted: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = fitted(name)
    capsys.readouterr()
    assert cli("evaluate", run, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["distortion"]["mean"] > 0
    assert not {"rate", "elbo", "log_likelihood", "bits_per_dim"} & {k for k, v in result.items() if v is not None}
    assert cli("evaluate", run) == 0
    out = capsys.readouterr().out
    assert "distortion" in out
    assert "log p(x)" not in out
    assert cli("score", run, "--out", run / "scores.npy") == 2
    said = capsys.readouterr().err
    assert "deterministic code has no density; train a VAE instead" in " ".join(said.split())
    assert not (run / "scores.npy").exists()
    assert cli("encode", run, "--out", run / "codes.npy") == 0
    assert np.load(run / "codes.npy").shape == (180, 2)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_it_can_be_sampled_if_it_has_a_prior(
    name: str, fitted: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, has_prior = fitted(name), name != "contractive_ae"
    assert cli("sample", run, "-n", 5, "--out", run / "samples.npy") == (0 if has_prior else 2)
    if has_prior:
        drawn = np.load(run / "samples.npy")
        assert drawn.shape == (5, 1, 8, 8)
        assert drawn.std(0).max() > 0
    else:
        assert "fit one to its codes with elbox.fit_prior" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", [*DETERMINISTIC, "gan", "vae_gan", "ms_ssim_vae"])
def test_report_says_the_right_thing(name: str, fitted: Callable[[str], Path]) -> None:
    run = fitted(name)
    assert cli("report", run, "--samples", 10, "--quiet") == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    deterministic = name in DETERMINISTIC
    assert ("A deterministic code has no density" in page) == deterministic
    assert ("without a prior nothing to sample" in page) == (name == "contractive_ae")
    assert ("The model has no encoder" in page) == (name == "gan")
    assert ("log p(x) ≥" in page) == (not deterministic)
    assert ("Samples" in page) == (name != "contractive_ae")
    assert "posterior collapse" not in page or name not in ("gan", *DETERMINISTIC)


def test_log_likelihood_of_a_code_with_a_prior_is_refused(digits: Data) -> None:
    model = made("aae", digits).model
    for refused in (lambda x: model.log_prob(x), lambda x: elbox.log_likelihood(model, x)):
        with pytest.raises(IncompatibleError, match=r"deterministic code has no density; train a VAE instead"):
            refused(digits.examples("test", 3))


def test_a_gan_is_measured_by_a_plain_average(digits: Data) -> None:
    model = made("gan", digits).model
    result = elbox.evaluate(model, digits.examples("test", 20), samples=50)
    assert result.rate.mean == 0
    assert result.elbo.mean == -result.distortion.mean
    assert result.log_likelihood.mean > result.elbo.mean
