"""Golden numbers: losses of every recipe and estimator, at the start and after five steps, with fixed seeds.

A change here is a numerical change: say why in the changelog, and renew the file: `python -m tests.golden.test_golden`.
What is not under `RECIPES` has narrow layers and data of the one kind that it is made for.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from elbox import ELBO, IWAE, DataSpec, Recipe, Renyi, Reparameterized, Score, estimators, recipes
from elbox import Path as PathEstimator
from elbox.schedules import Linear
from elbox.train.step import Step
from tests import components

FILE = Path(__file__).with_name("losses.json")
IMAGE = (1, 8, 8)
SPECS = {
    "binary": DataSpec(IMAGE, "binary", offset=0.4, scale=0.5, examples=16),
    "levels": DataSpec(IMAGE, "levels", levels=17, offset=8.0, scale=5.0, examples=16),
    "real": DataSpec(IMAGE, "real", offset=1.0, scale=2.0, examples=16),
    "count": DataSpec(IMAGE, "count", offset=3.0, scale=2.0, examples=16),
}
RECIPES: dict[str, Callable[[DataSpec], Recipe]] = {
    "ae": lambda s: recipes.ae(s, latent=3, hidden=(16,)),
    "dae": lambda s: recipes.dae(s, latent=3, hidden=(16,), masking=0.5),
    "vae": lambda s: recipes.vae(s, latent=3, hidden=(16,)),
    "vae, warm-up": lambda s: recipes.vae(s, latent=3, hidden=(16,), warmup=0.5),
    "conv_vae": lambda s: recipes.conv_vae(s, latent=3, channels=(4, 8)),
    "beta_vae": lambda s: recipes.beta_vae(s, latent=3, beta=3.0, hidden=(16,)),
    "vae_full_covariance": lambda s: recipes.vae_full_covariance(s, latent=3, hidden=(16,)),
    "iwae": lambda s: recipes.iwae(s, latent=3, samples=5, hidden=(16, 16)),
    "miwae": lambda s: recipes.miwae(s, latent=3, outer=2, inner=3, hidden=(16, 16)),
    "piwae": lambda s: recipes.piwae(s, latent=3, outer=2, inner=3, hidden=(16, 16)),
    "ciwae": lambda s: recipes.ciwae(s, latent=3, samples=5, hidden=(16, 16)),
    "renyi_vae": lambda s: recipes.renyi_vae(s, latent=3, samples=5, hidden=(16, 16)),
    "tvo": lambda s: recipes.tvo(s, latent=3, samples=5, hidden=(16, 16)),
    "annealed_vae": lambda s: recipes.annealed_vae(s, latent=3, gamma=10.0, hidden=(16,)),
    "cyclical_vae": lambda s: recipes.cyclical_vae(s, latent=3, hidden=(16,)),
    "free_bits_vae": lambda s: recipes.free_bits_vae(s, latent=3, hidden=(16,)),
}
CASES = {f"{name}, {kind}": (make, SPECS[kind]) for name, make in RECIPES.items() for kind in SPECS}
CASES |= {
    f"linear_vae, {kind}": (lambda s: recipes.linear_vae(s, latent=3), SPECS[kind]) for kind in ("levels", "real")
}
OTHERS = {
    n: components.SPECS[n].kind if n in components.SPECS else "binary"
    for n in sorted({*recipes.RECIPES} - {*RECIPES, "linear_vae"})
}
CASES |= {f"{n}, {kind}": (lambda s, n=n: components.small(n, s, latent=3), SPECS[kind]) for n, kind in OTHERS.items()}
CASES |= {
    f"{type(e).__name__} of bits": (
        lambda s, e=e: replace(components.small("nvil", s, latent=3), estimator=e),
        SPECS["binary"],
    )
    for e in (estimators.Enumerated(), estimators.StraightThrough())
}
CASES |= {
    f"{type(e).__name__} of {name}": (lambda s, e=e, o=o: Recipe(RECIPES["vae"](s).model, o, e), SPECS["binary"])
    for e in (Reparameterized(), PathEstimator(), Score())
    for name, o in {
        "ELBO": ELBO(samples=2),
        "β": ELBO(beta=Linear(), samples=3),
        "IWAE": IWAE(4),
        "Renyi": Renyi(0.5, 4),
    }.items()
} | {
    f"Reparameterized of {name}": (
        lambda s, o=o: Recipe(RECIPES["vae"](s).model, o, Reparameterized()),
        SPECS["binary"],
    )
    for name, o in {
        "free bits": ELBO(free_bits=0.2),
        "free bits per dimension": ELBO(free_bits=0.1, per_dimension=True),
        "capacity": ELBO(beta=2.0, capacity=1.0),
    }.items()
}


def data(spec: DataSpec) -> Tensor:
    """A batch of waves of the data's kind, without a random number."""
    wave = torch.sin(torch.arange(16.0)[:, None] * torch.linspace(0.3, 2.0, 64)).reshape(16, *IMAGE)
    return {
        "binary": (wave > 0).float(),
        "levels": (8 + 8 * wave).round(),
        "real": 1 + 2 * wave,
        "count": (3 + 2 * wave).round(),
    }[spec.kind]


def losses(name: str) -> list[float]:
    """The loss before each of six updates."""
    make, spec = CASES[name]
    recipe = make(spec)
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    optimizer = torch.optim.Adam(step.parameters(), 1e-2)
    torch.manual_seed(0)
    found = []
    for i in range(6):
        step.progress.fill_(i / 5)
        loss, _ = step(data(spec))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(round(loss.item(), 4))
    return [found[0], found[-1]]


@pytest.mark.parametrize("name", CASES)
def test_losses(name: str) -> None:
    """In single precision the last digits depend on the machine's vector instructions: 2 parts in 10 000."""
    golden = json.loads(FILE.read_text(encoding="utf-8"))
    assert losses(name) == pytest.approx(golden[name], rel=2e-4, abs=2e-3)


def test_every_recipe_and_estimator_has_a_case() -> None:
    made = [make(spec) for make, spec in CASES.values()]
    assert {recipe.name for recipe in made} >= {*recipes.RECIPES}
    inner = [getattr(recipe.estimator, "estimator", recipe.estimator) for recipe in made]
    found = {type(e).__name__ for e in (*inner, *(recipe.estimator for recipe in made))}
    classes = {n for n in estimators.__all__ if isinstance(getattr(estimators, n), type)}  # functions give one
    assert found >= classes - {"Estimate", "Estimator"}


def test_file_has_these_cases_and_no_others() -> None:
    assert list(json.loads(FILE.read_text(encoding="utf-8"))) == list(CASES)


if __name__ == "__main__":
    rows = [f"  {json.dumps(n, ensure_ascii=False)}: {json.dumps(losses(n))}" for n in CASES]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
