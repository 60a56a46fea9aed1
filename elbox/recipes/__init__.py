"""Recipes: named models as functions from a `DataSpec` and a few settings to a `Recipe` of parts."""

from elbox.recipes.adversarial import aae, gan, vae_gan, wae_gan
from elbox.recipes.autoencoders import ae, dae
from elbox.recipes.base import RECIPES, Recipe, recipe
from elbox.recipes.gaussian import beta_vae, conv_vae, linear_vae, vae, vae_full_covariance
from elbox.recipes.importance import iwae
from elbox.recipes.perceptual import ms_ssim_vae
from elbox.recipes.regularised import contractive_ae, rae_gp, rae_l2

__all__ = [
    "RECIPES",
    "Recipe",
    "aae",
    "ae",
    "beta_vae",
    "contractive_ae",
    "conv_vae",
    "dae",
    "gan",
    "iwae",
    "linear_vae",
    "ms_ssim_vae",
    "rae_gp",
    "rae_l2",
    "recipe",
    "vae",
    "vae_full_covariance",
    "vae_gan",
    "wae_gan",
]
