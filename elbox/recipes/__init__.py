"""Recipes: named models as functions from a `DataSpec` and a few settings to a `Recipe` of parts."""

from elbox.recipes.adversarial import aae, gan, vae_gan, wae_gan
from elbox.recipes.autoencoders import ae, dae
from elbox.recipes.autoregressive import ffjord_vae, iaf_vae, maf_vae
from elbox.recipes.base import RECIPES, Recipe, recipe
from elbox.recipes.bayesian import bayesian_vae, map_vae
from elbox.recipes.calibrated import sigma_vae
from elbox.recipes.clustering import gmvae, vade
from elbox.recipes.committed import bn_vae, delta_vae
from elbox.recipes.counts import count_vae, topic_vae
from elbox.recipes.coupling import glow_vae, nice_vae, realnvp_vae, spline_vae
from elbox.recipes.curved import poincare_vae, power_spherical_vae, vmf_vae
from elbox.recipes.discrete import gumbel_vae, nvil, rebar, relax, vimco
from elbox.recipes.disentangled import beta_tcvae, dip_vae, factor_vae
from elbox.recipes.gaussian import beta_vae, conv_vae, linear_vae, vae, vae_full_covariance
from elbox.recipes.importance import ciwae, iwae, miwae, piwae, renyi_vae, tvo
from elbox.recipes.improved import (
    auxiliary_vae,
    hamiltonian_vae,
    riemannian_hamiltonian_vae,
    semi_amortised_vae,
)
from elbox.recipes.inference import local_vi, mcem, reweighted_wake_sleep, wake_sleep
from elbox.recipes.low_rank import vae_low_rank
from elbox.recipes.perceptual import ms_ssim_vae
from elbox.recipes.planar import planar_vae, radial_vae, sylvester_vae
from elbox.recipes.priors import exemplar_vae, flow_prior_vae, vamp_vae
from elbox.recipes.quantized import fsq_vae, residual_vq_vae, vq_vae
from elbox.recipes.rate import annealed_vae, cyclical_vae, free_bits_vae
from elbox.recipes.regularised import contractive_ae, rae_gp, rae_l2
from elbox.recipes.second_stages import latent_diffusion, two_stage_vae
from elbox.recipes.topics import logistic_normal_topic_vae
from elbox.recipes.wasserstein import info_vae, swae, wae_mmd

__all__ = [
    "RECIPES",
    "Recipe",
    "aae",
    "ae",
    "annealed_vae",
    "auxiliary_vae",
    "bayesian_vae",
    "beta_tcvae",
    "beta_vae",
    "bn_vae",
    "ciwae",
    "contractive_ae",
    "conv_vae",
    "count_vae",
    "cyclical_vae",
    "dae",
    "delta_vae",
    "dip_vae",
    "exemplar_vae",
    "factor_vae",
    "ffjord_vae",
    "flow_prior_vae",
    "free_bits_vae",
    "fsq_vae",
    "gan",
    "glow_vae",
    "gmvae",
    "gumbel_vae",
    "hamiltonian_vae",
    "iaf_vae",
    "info_vae",
    "iwae",
    "latent_diffusion",
    "linear_vae",
    "local_vi",
    "logistic_normal_topic_vae",
    "maf_vae",
    "map_vae",
    "mcem",
    "miwae",
    "ms_ssim_vae",
    "nice_vae",
    "nvil",
    "piwae",
    "planar_vae",
    "poincare_vae",
    "power_spherical_vae",
    "radial_vae",
    "rae_gp",
    "rae_l2",
    "realnvp_vae",
    "rebar",
    "recipe",
    "relax",
    "renyi_vae",
    "residual_vq_vae",
    "reweighted_wake_sleep",
    "riemannian_hamiltonian_vae",
    "semi_amortised_vae",
    "sigma_vae",
    "spline_vae",
    "swae",
    "sylvester_vae",
    "topic_vae",
    "tvo",
    "two_stage_vae",
    "vade",
    "vae",
    "vae_full_covariance",
    "vae_gan",
    "vae_low_rank",
    "vamp_vae",
    "vimco",
    "vmf_vae",
    "vq_vae",
    "wae_gan",
    "wae_mmd",
    "wake_sleep",
]
