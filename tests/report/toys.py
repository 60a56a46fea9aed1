"""Really trained, tiny runs to report on."""

from __future__ import annotations

from functools import cache

import numpy as np
from sklearn.datasets import load_breast_cancer

import elbox
from elbox import recipes
from elbox.runs import Run

BREAKING = '<script>alert("&")</script>'
QUICK = elbox.Training(epochs=12, precision="32", compile=False)


@cache
def digits(recipe: str = "vae", **settings: object) -> Run:
    """A recipe on the digits, with 12 epochs."""
    data = elbox.load("digits")
    return elbox.fit(getattr(recipes, recipe)(data.spec, hidden=(32,), **settings), data, QUICK)


@cache
def binary_digits() -> Run:
    """An importance-weighted autoencoder on dynamically binarised digits."""
    data = elbox.load("digits", binarise="dynamic")
    return elbox.fit(recipes.iwae(data.spec, latent=30, samples=3, hidden=(16,)), data, QUICK)


@cache
def measurements() -> Run:
    """A table of 30 measurements, its name and first column hostile."""
    x, y = load_breast_cancer(return_X_y=True)
    data = elbox.from_array(x, y, name=BREAKING)
    object.__setattr__(data, "columns", (BREAKING, "$x_1$", *(f"column {i}" for i in range(28))))
    return elbox.fit(recipes.vae(data.spec, latent=3, hidden=(32,)), data, QUICK)


@cache
def table(kind: str) -> Run:
    """A small table of counts or answers."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5))
    x = rng.poisson(np.exp(z)) if kind == "count" else (rng.random(z.shape) < 1 / (1 + np.exp(-2 * z))).astype(np.uint8)
    data = elbox.from_array(x)
    return elbox.fit(recipes.vae(data.spec, latent=2, hidden=(16,)), data, QUICK)


@cache
def pictures(channels: int, size: int, kind: str = "levels") -> Run:
    """Noise, which no PNG can compress: the largest page there is for its size."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (120, channels, size, size)).astype(np.uint8)
    data = elbox.from_array(x if kind == "levels" else x / 8 - 100.0)
    return elbox.fit(recipes.vae(data.spec, latent=2, hidden=(8,)), data, elbox.Training(epochs=1, compile=False))
