"""Recipes: named models as functions from a `DataSpec` and a few settings to a `Recipe` of parts."""

from elbox.recipes.autoencoders import ae, dae
from elbox.recipes.base import RECIPES, Recipe, recipe
from elbox.recipes.disentangled import beta_tcvae, dip_vae, factor_vae
from elbox.recipes.gaussian import beta_vae, conv_vae, linear_vae, vae, vae_full_covariance
from elbox.recipes.importance import iwae
from elbox.recipes.wasserstein import info_vae, swae, wae_mmd

__all__ = [
    "RECIPES",
    "Recipe",
    "ae",
    "beta_tcvae",
    "beta_vae",
    "conv_vae",
    "dae",
    "dip_vae",
    "factor_vae",
    "info_vae",
    "iwae",
    "linear_vae",
    "recipe",
    "swae",
    "vae",
    "vae_full_covariance",
    "wae_mmd",
]
