"""Recipes: settings are captured, saved, checked; a seed decides the weights, the data's kind the likelihood."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import elbox
from elbox import DataSpec, Recipe, likelihoods, schedules
from elbox.errors import IncompatibleError, RunError, SettingError
from elbox.recipes import RECIPES
from elbox.recipes.base import settings_of
from tests.components import BINARY, IMAGE, REAL, SPECS, make, of, small

NAMES = [n.split(".")[1] for n in of("recipes")]
CHOOSE = [n for n in NAMES if "likelihood" in settings_of(RECIPES[n])]
# What every recipe must change when each of its settings is given another value.
OTHER: dict[str, Any] = {
    "latent": 5,
    "hidden": (7, 5),
    "channels": (2, 3, 4),
    "activation": nn.ELU,
    "samples": 4,
    "beta": 0.75,
    "outer": 3,
    "inner": 5,
    "alpha": 0.25,
    "partitions": 3,
    "log_first": -2.0,
    "capacity": 3.0,
    "gamma": 10.0,
    "over": 0.25,
    "cycles": 2,
    "ramp": 0.25,
    "free_bits": 0.125,
    "per_dimension": False,
    "masking": 0.5,
    "noise": 0.25,
    "warmup": 0.125,
    "wake": 0.25,
    "sleep": 0.25,
    "leapfrogs": 3,
    "acceptance": 0.75,
    "steps": 4,
    "lr": 0.125,
    "scale": 0.5,
    "likelihood": likelihoods.Categorical,
    "zero_inflated": True,
    "library": True,
    "baseline": 5,
    "surrogate": 5,
    "categories": 4,
    "temperature": 0.75,
    "weight": 3.0,
    "ratio": 2.0,
    "of_codes": True,
    "projections": 7,
    "discriminator": (5, 4),
    "examples": 77,
    "components": 4,
    "probes": 2,
    "conditioner": (5, 4),
    "columns": 3,
    "rank": 3,
    "pretraining": 0.5,
    "from_data": True,
    "widths": (5,),
    "concentration": 0.5,
    "second": (5,),
    "rate": 2.5,
    "auxiliary": 4,
    "centroids": 4,
    "step": 0.02,
    "codes": 9,
    "depth": 3,
    "levels": (5, 6),
    "positions": 3,
    "spheres": 2,
    "curvature": 0.25,
    "learned": True,
    "seed": 7,
}
TABLE = DataSpec((5,), "binary", examples=50)
SPEC_OF = {(name, "positions"): TABLE for name in ("vq_vae", "residual_vq_vae", "fsq_vae")}  # what a setting is for

OTHER_OF = {
    ("sylvester_vae", "steps"): 3,
    ("flow_prior_vae", "steps"): 3,
    ("beta_tcvae", "beta"): 3.0,
    ("info_vae", "scale"): 50.0,
    ("hamiltonian_vae", "temperature"): 3.0,
    ("poincare_vae", "latent"): 3,
}  # where the value above is not allowed
OF_MEANS = ("gan", "vae_gan", "ms_ssim_vae", "contractive_ae")  # whose means are judged: the likelihood is a plain one


def weights(recipe: Recipe) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in recipe.model.parameters()])


def same(a: Recipe, b: Recipe) -> bool:
    return weights(a).shape == weights(b).shape and torch.equal(weights(a), weights(b))


def through_json(recipe: Recipe, spec: DataSpec) -> Recipe:
    return Recipe.from_json(json.loads(json.dumps(recipe.to_json())), spec)


def test_recipes_of_the_foundation() -> None:
    assert {"ae", "dae", "vae", "conv_vae", "beta_vae", "iwae", "vae_full_covariance", "linear_vae"} <= set(RECIPES)
    assert set(NAMES) == set(RECIPES)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_captured(name: str) -> None:
    """All of them, with defaults, in the order of the signature; positional or by name."""
    recipe = small(name, seed=5)
    assert recipe.name == name
    assert list(recipe.settings) == list(settings_of(RECIPES[name]))
    assert recipe.settings["seed"] == 5
    spec = SPECS.get(name, REAL)
    first = next(iter(settings_of(RECIPES[name])))
    other = OTHER[first]
    assert RECIPES[name](spec, other).settings == RECIPES[name](data=spec, **{first: other}).settings


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_is_documented(name: str) -> None:
    doc = inspect.getdoc(RECIPES[name]) or ""
    for setting in [s for s in settings_of(RECIPES[name]) if s != "seed"]:
        assert f"\n    {setting}: " in doc


@pytest.mark.parametrize(("name", "setting"), [(n, s) for n in NAMES for s in settings_of(RECIPES[n])])
def test_every_setting_survives_json_and_matters(name: str, setting: str) -> None:
    other = OTHER_OF.get((name, setting), OTHER[setting])
    spec = SPEC_OF.get((name, setting), SPECS.get(name, BINARY))
    recipe = small(name, spec, **{setting: other})
    loaded = through_json(recipe, spec)
    assert loaded.name == name
    assert {k: list(v) if isinstance(v, tuple) else v for k, v in loaded.settings.items()} == {
        k: list(v) if isinstance(v, tuple) else v for k, v in recipe.settings.items()
    }
    assert same(recipe, loaded)
    assert described(loaded) == described(recipe)
    assert described(recipe) != described(small(name, spec))


def described(recipe: Recipe) -> tuple[Any, ...]:
    parts = replace(recipe).to_json()  # part by part
    return json.dumps(parts), weights(recipe).sum().item()


@pytest.mark.parametrize("name", NAMES)
def test_recipe_through_json_part_by_part(name: str) -> None:
    """`replace` drops the name; the recipe is then saved as its parts, and rebuilt with the same structure."""
    changed = replace(small(name), objective=elbox.ELBO(beta=schedules.Linear(over=0.5), samples=2))
    assert (changed.name, changed.settings) == ("", {})
    saved = changed.to_json()
    assert set(saved) == {"parts"}
    loaded = through_json(changed, BINARY)
    assert loaded.to_json() == saved
    loaded.model.load_state_dict(changed.model.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_seed_decides_the_weights(name: str) -> None:
    """Same seed → same weights, whatever was drawn before; another seed → others; the global state is left alone."""
    torch.manual_seed(1)
    first = small(name, seed=3)
    after = torch.rand(())
    torch.manual_seed(2)
    torch.rand(100)
    assert same(first, small(name, seed=3))
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(()))
    assert not same(first, small(name, seed=4))
    assert same(small(name), small(name, seed=0))


def test_recipe_built_on_a_recipe() -> None:
    """The outer seed reaches the inner recipe; an inner seed that is given is kept; the outer name is kept."""
    try:

        @elbox.recipes.recipe
        def mine(data: DataSpec, latent: int = 2, fixed: bool = False) -> Recipe:
            return RECIPES["vae"](data, latent, hidden=(6,), **({"seed": 9} if fixed else {}))

        assert mine(BINARY).name == "mine"
        assert not same(mine(BINARY, seed=1), mine(BINARY, seed=2))
        assert same(mine(BINARY, seed=4), RECIPES["vae"](BINARY, 2, hidden=(6,), seed=4))
        assert same(mine(BINARY, fixed=True, seed=1), mine(BINARY, fixed=True, seed=2))
        assert same(mine(BINARY, fixed=True), RECIPES["vae"](BINARY, 2, hidden=(6,), seed=9))
    finally:
        RECIPES.pop("mine", None)


def test_beta_vae_and_iwae_start_from_the_same_networks_as_vae() -> None:
    vae = elbox.recipes.vae(BINARY, latent=3, hidden=(6,), seed=5)
    assert same(vae, elbox.recipes.beta_vae(BINARY, latent=3, hidden=(6,), seed=5))
    assert same(vae, elbox.recipes.iwae(BINARY, latent=3, hidden=(6,), activation=nn.SiLU, seed=5))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (DataSpec((5,), "binary", examples=50), likelihoods.Bernoulli),
        (DataSpec((5,), "levels", levels=4, examples=50), likelihoods.DiscretizedLogistic),
        (DataSpec((5,), "real", examples=50), likelihoods.Gaussian),
        (DataSpec((5,), "count", examples=50), likelihoods.Poisson),
        (DataSpec((5,), "unit", offset=0.5, examples=50), likelihoods.ContinuousBernoulli),
        (DataSpec((5,), "positive", examples=50), likelihoods.LogNormal),
        (DataSpec((2, 5), "complex", examples=50), likelihoods.ComplexGaussian),
    ],
)
@pytest.mark.parametrize("name", [n for n in CHOOSE if n not in ("conv_vae", *OF_MEANS)])
def test_kind_of_data_chooses_the_likelihood(name: str, spec: DataSpec, expected: type) -> None:
    assert type(RECIPES[name](spec).model.likelihood) is expected


@pytest.mark.parametrize("name", [n for n in CHOOSE if n != "contractive_ae"])
def test_likelihood_can_be_chosen(name: str) -> None:
    spec = DataSpec(IMAGE, "levels", levels=6, offset=2.0, scale=1.5, examples=50)
    chosen = RECIPES[name](spec, likelihood=likelihoods.Gaussian).model.likelihood
    assert type(chosen) is likelihoods.Gaussian
    assert (chosen.offset.item(), chosen.scale.item()) == (2.0, 1.5)
    with pytest.raises(
        IncompatibleError, match="Bernoulli describes binary data, got levels data; use DiscretizedLogistic"
    ):
        RECIPES[name](spec, likelihood=likelihoods.Bernoulli)


def test_units_of_the_data_reach_both_ends() -> None:
    """Shifting and scaling data and spec together leaves codes as they are and moves reconstructions along."""
    shift, scale = 100.0, 7.0
    x = torch.randn(4, 5)
    plain = elbox.recipes.vae(DataSpec((5,), "real"), latent=2, hidden=(6,)).model
    moved = elbox.recipes.vae(DataSpec((5,), "real", offset=shift, scale=scale), latent=2, hidden=(6,)).model
    y = shift + scale * x
    torch.testing.assert_close(moved.encode(y).mean, plain.encode(x).mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved.reconstruct(y), shift + scale * plain.reconstruct(x), rtol=1e-4, atol=1e-4)


def test_warmup_reaches_the_end_of_the_run() -> None:
    beta = elbox.recipes.vae(BINARY, latent=2, hidden=(6,), warmup=0.25).objective.beta
    assert [beta(torch.tensor(t)).item() for t in (0.0, 0.125, 0.25, 1.0)] == [0.0, 0.5, 1.0, 1.0]
    assert elbox.recipes.vae(BINARY, latent=2, hidden=(6,), warmup=0.0).objective.beta == 1.0


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("vae", {"latnet": 3}, "got the setting 'latnet' for the recipe vae; expected one of latent=20, hidden=400"),
        ("vae", {"latent": "three"}, "got latent=three for the recipe vae; expected a whole number"),
        ("vae", {"latent": -1}, "got latent=-1 for the recipe vae; expected a whole number"),
        ("vae", {"hidden": 400}, "got hidden=400 for the recipe vae; expected whole numbers such as 200,200"),
        ("beta_vae", {"beta": float("nan")}, "got beta=nan for the recipe beta_vae; expected a number or a Schedule"),
        ("vae", {"likelihood": "Bernoulli"}, "got likelihood=Bernoulli .* expected the name of one of Bernoulli"),
        ("vae", {"warmup": 2.0}, r"got over=2.0; expected a fraction of the run in \(0, 1\]"),
        ("dae", {"masking": 1.0}, "got masking=1.0, noise=0.0; expected 0 ≤ masking < 1"),
        (
            "count_vae",
            {"library": 1},
            "got library=1 for the recipe count_vae; expected true or false: its settings are",
        ),
        ("iwae", {"samples": 0}, "got samples=0"),
        ("beta_tcvae", {"beta": 0.5}, "got beta=0.5; expected a number ≥ 1: the ELBO has the total correlation"),
        ("info_vae", {"alpha": 1.5}, "got alpha=1.5, scale=1000.0; expected alpha ≤ 1 and alpha \\+ scale ≥ 1"),
        ("beta_vae", {"beta": -1.0}, "got beta=-1.0; expected a number ≥ 0, or a schedule"),
    ],
)
def test_bad_setting(name: str, settings: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingError, match=expected):
        RECIPES[name](SPECS.get(name, BINARY), **settings)


def test_number_of_examples_comes_with_the_data_or_as_a_setting() -> None:
    found = [RECIPES["beta_tcvae"](BINARY, **s).objective.penalties[0].examples for s in ({}, {"examples": 77})]
    assert found == [50, 77]
    assert RECIPES["beta_tcvae"](DataSpec((5,), "binary"), examples=9).objective.penalties[0].examples == 9
    with pytest.raises(SettingError, match=r"got examples=0 for TotalCorrelation; .* give examples=N"):
        RECIPES["beta_tcvae"](DataSpec((5,), "binary"))


def test_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(SettingError, match=f"got the recipe 'vea'; expected one of {', '.join(sorted(RECIPES))}"):
        Recipe.from_json({"recipe": "vea", "settings": {}}, BINARY)


def test_class_in_a_saved_setting_is_checked() -> None:
    saved = make("recipes.vae").to_json()
    saved["settings"]["activation"] = {"class": "os.system"}
    with pytest.raises(RunError, match=r"got the class 'os.system' in a saved model"):
        Recipe.from_json(saved, BINARY)


def test_recipe_is_frozen() -> None:
    with pytest.raises(AttributeError):
        make("recipes.vae").estimator = elbox.Path()


def test_loading_is_no_pickle() -> None:
    """No module of elbox uses a loader that runs code."""
    from pathlib import Path

    for file in Path(elbox.__file__).parent.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "import pickle" not in text, file
        assert "allow_pickle=True" not in text, file
        assert "torch.load(" not in text or "weights_only=True" in text, file
