"""Recipes: named models as functions from a `DataSpec` and a few settings to a `Recipe` of parts."""

from elbox.recipes.autoencoders import ae
from elbox.recipes.autoencoders import dae
from elbox.recipes.base import RECIPES
from elbox.recipes.base import Recipe
from elbox.recipes.base import recipe
from elbox.recipes.calibrated import sigma_vae
from elbox.recipes.counts import count_vae
from elbox.recipes.counts import topic_vae
from elbox.recipes.discrete import gumbel_vae
from elbox.recipes.discrete import nvil
from elbox.recipes.discrete import rebar
from elbox.recipes.discrete import relax
from elbox.recipes.discrete import vimco
from elbox.recipes.gaussian import beta_vae
from elbox.recipes.gaussian import conv_vae
from elbox.recipes.gaussian import linear_vae
from elbox.recipes.gaussian import vae
from elbox.recipes.gaussian import vae_full_covariance
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
