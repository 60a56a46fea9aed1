"""Recipes: named models as functions from a `DataSpec` and a few settings to a `Recipe` of parts."""

from elbox.recipes.autoencoders import ae, dae
from elbox.recipes.base import RECIPES, Recipe, recipe
from elbox.recipes.calibrated import sigma_vae
from elbox.recipes.counts import count_vae, topic_vae
from elbox.recipes.discrete import gumbel_vae, nvil, rebar, relax, vimco
from elbox.recipes.gaussian import beta_vae, conv_vae, linear_vae, vae, vae_full_covariance
from elbox.recipes.importance import iwae

__all__ = [
    "RECIPES",
    "Recipe",
    "ae",
    "beta_vae",
    "conv_vae",
    "count_vae",
    "dae",
    "gumbel_vae",
    "iwae",
    "linear_vae",
    "nvil",
    "rebar",
    "recipe",
    "relax",
    "sigma_vae",
    "topic_vae",
    "vae",
    "vae_full_covariance",
    "vimco",
]
