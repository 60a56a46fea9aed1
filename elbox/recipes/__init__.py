"""Recipes: named models as functions from a `DataSpec` and a few settings to a `Recipe` of parts."""

from elbox.recipes.autoencoders import ae, dae
from elbox.recipes.base import RECIPES, Recipe, recipe
from elbox.recipes.bayesian import bayesian_vae, map_vae
from elbox.recipes.gaussian import beta_vae, conv_vae, linear_vae, vae, vae_full_covariance
from elbox.recipes.importance import iwae
from elbox.recipes.inference import local_vi, mcem, reweighted_wake_sleep, wake_sleep

__all__ = [
    "RECIPES",
    "Recipe",
    "ae",
    "bayesian_vae",
    "beta_vae",
    "conv_vae",
    "dae",
    "iwae",
    "linear_vae",
    "local_vi",
    "map_vae",
    "mcem",
    "recipe",
    "reweighted_wake_sleep",
    "vae",
    "vae_full_covariance",
    "wake_sleep",
]
