"""Recipes: named models as functions from a `DataSpec` and a few settings to a `Recipe` of parts."""

from elbox.recipes.adversarial import aae, gan, vae_gan, wae_gan
from elbox.recipes.autoencoders import ae, dae
from elbox.recipes.base import RECIPES, Recipe, recipe
from elbox.recipes.bayesian import bayesian_vae, map_vae
from elbox.recipes.calibrated import sigma_vae
from elbox.recipes.counts import count_vae, topic_vae
from elbox.recipes.curved import poincare_vae, power_spherical_vae, vmf_vae
from elbox.recipes.discrete import gumbel_vae, nvil, rebar, relax, vimco
from elbox.recipes.disentangled import beta_tcvae, dip_vae, factor_vae
from elbox.recipes.gaussian import beta_vae, conv_vae, linear_vae, vae, vae_full_covariance
from elbox.recipes.importance import ciwae, iwae, miwae, piwae, renyi_vae, tvo
from elbox.recipes.inference import local_vi, mcem, reweighted_wake_sleep, wake_sleep
from elbox.recipes.perceptual import ms_ssim_vae
from elbox.recipes.rate import annealed_vae, cyclical_vae, free_bits_vae
from elbox.recipes.regularised import contractive_ae, rae_gp, rae_l2
from elbox.recipes.wasserstein import info_vae, swae, wae_mmd

__all__ = [
    "RECIPES",
    "Recipe",
    "aae",
    "ae",
    "annealed_vae",
    "bayesian_vae",
    "beta_tcvae",
    "beta_vae",
    "ciwae",
    "contractive_ae",
    "conv_vae",
    "count_vae",
    "cyclical_vae",
    "dae",
    "dip_vae",
    "factor_vae",
    "free_bits_vae",
    "gan",
    "gumbel_vae",
    "info_vae",
    "iwae",
    "linear_vae",
    "local_vi",
    "map_vae",
    "mcem",
    "miwae",
    "ms_ssim_vae",
    "nvil",
    "piwae",
    "poincare_vae",
    "power_spherical_vae",
    "rae_gp",
    "rae_l2",
    "rebar",
    "recipe",
    "relax",
    "renyi_vae",
    "reweighted_wake_sleep",
    "sigma_vae",
    "swae",
    "topic_vae",
    "tvo",
    "vae",
    "vae_full_covariance",
    "vae_gan",
    "vimco",
    "vmf_vae",
    "wae_gan",
    "wae_mmd",
    "wake_sleep",
]
