"""Runs made sick on purpose, each in its own way, and healthy ones; all are trained in seconds."""

from __future__ import annotations

from functools import cache

import numpy as np
from torch import nn

import elbox
from elbox import likelihoods, recipes
from elbox.runs import Run

QUICK = {"precision": "32", "compile": False}


def trained(recipe: elbox.Recipe, data: elbox.Data, epochs: int, **settings: object) -> Run:
    return elbox.fit(recipe, data, elbox.Training(epochs=epochs, **QUICK | settings))


@cache
def digits(binarise: str | None = "dynamic") -> elbox.Data:
    return elbox.load("digits", binarise=binarise)


@cache
def factors() -> elbox.Data:
    """Ten measurements of three factors, with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 3)) @ rng.normal(size=(3, 10)) + 0.3 * rng.normal(size=(800, 10))
    return elbox.from_array(x.astype("float32"))


@cache
def counts() -> elbox.Data:
    """Counts that vary far more than Poisson's."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(800, 2)) @ rng.normal(size=(2, 8))
    return elbox.from_array(rng.poisson(np.exp(1 + 0.5 * z) * rng.gamma(0.3, 1 / 0.3, size=(800, 8))))


def healthy(which: str) -> Run:
    if which == "factors":
        return trained(recipes.vae(factors().spec, latent=4, hidden=(32,)), factors(), 60, batch_size=32)
    if which == "relu":
        recipe = recipes.vae(digits().spec, latent=8, hidden=(64,), activation=nn.ReLU)
        return trained(recipe, digits(), 40)
    if which == "levels":
        return trained(recipes.vae(digits(None).spec, latent=8, hidden=(64,)), digits(None), 60)
    if which == "ae":
        return trained(recipes.ae(digits().spec, latent=8, hidden=(64,)), digits(), 60)
    return trained(getattr(recipes, which)(digits().spec, latent=8, hidden=(64,)), digits(), 60)


def bad(what: str) -> Run:
    binary = digits()
    small = {"latent": 8, "hidden": (64,)}
    if what == "collapsed":
        return trained(recipes.beta_vae(binary.spec, beta=50.0, **small), binary, 30)
    if what == "unstable":
        return trained(recipes.vae(binary.spec, **small), binary, 30, lr=0.3, schedule="constant")
    if what == "dead":
        recipe = recipes.vae(binary.spec, activation=nn.ReLU, **small)
        return trained(recipe, binary, 30, lr=0.2)
    if what == "short":
        return trained(recipes.vae(binary.spec, **small), binary, 3)
    if what == "slow":
        return trained(recipes.vae(binary.spec, **small), binary, 30, lr=5e-4, schedule="constant")
    if what == "many units":
        recipe = recipes.vae(factors().spec, latent=40, hidden=(32,))
        return trained(recipe, factors(), 60, batch_size=32, lr=0.01)
    if what == "no rate weight":
        recipe = recipes.beta_vae(factors().spec, latent=12, hidden=(32,), beta=0.0)
        return trained(recipe, factors(), 40, batch_size=32)
    if what == "fixed sigma":
        recipe = recipes.vae(factors().spec, latent=4, hidden=(32,), likelihood=likelihoods.FixedGaussian)
        return trained(recipe, factors(), 60)
    if what == "poisson":
        return trained(recipes.vae(counts().spec, latent=2, hidden=(32,)), counts(), 60)
    if what == "gaussian on counts":
        recipe = recipes.vae(counts().spec, latent=2, hidden=(32,), likelihood=likelihoods.Gaussian)
        return trained(recipe, counts(), 60)
    few = elbox.from_array(binary.examples("train", 120).numpy().astype("uint8"))
    return trained(recipes.vae(few.spec), few, 400, batch_size=16, evaluations=10, schedule="constant")
