"""A tiny constructor for everything that the axes and `elbox.nn` export: the contract tests run over this table.

A new component is one line here. Parts read data of shape (FEATURES,) and have codes of shape (LATENT,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elbox import (
    VAE,
    DataSpec,
    distributions,
    estimators,
    likelihoods,
    objectives,
    posteriors,
    priors,
    recipes,
    schedules,
)
from elbox.nn import MLP, ConvDecoder, ConvEncoder, Layer, Standardize, Transposed

LATENT, FEATURES, LEVELS, IMAGE = 2, 5, 6, (1, 8, 9)

BINARY = DataSpec(IMAGE, "binary")
REAL = DataSpec(IMAGE, "real", offset=0.5, scale=0.5)


def encoder(*outputs: int) -> MLP:
    return MLP(FEATURES, [6], outputs, nn.Tanh)


def decoder(*outputs: int) -> MLP:
    return MLP(LATENT, [6], outputs, nn.Tanh)


COMPONENTS: dict[str, Callable[[], Any]] = {
    "priors.StandardNormal": lambda: priors.StandardNormal(LATENT),
    "priors.LearnedNormal": lambda: priors.LearnedNormal(LATENT),
    "priors.NormalMixture": lambda: priors.NormalMixture(LATENT, components=3),
    "priors.FittedMixture": lambda: priors.FittedMixture(LATENT, components=3),
    "posteriors.DiagonalNormal": lambda: posteriors.DiagonalNormal(encoder(2, LATENT), LATENT),
    "posteriors.FullNormal": lambda: posteriors.FullNormal(encoder(2 + LATENT, LATENT), LATENT),
    "posteriors.Deterministic": lambda: posteriors.Deterministic(encoder(LATENT), LATENT),
    "posteriors.FromPrior": lambda: posteriors.FromPrior(priors.LearnedNormal(LATENT)),
    "posteriors.Corrupted": lambda: posteriors.Corrupted(
        posteriors.DiagonalNormal(encoder(2, LATENT), LATENT), masking=0.3, noise=0.1
    ),
    "likelihoods.Bernoulli": lambda: likelihoods.Bernoulli(decoder(FEATURES), offset=0.3),
    "likelihoods.Categorical": lambda: likelihoods.Categorical(decoder(LEVELS, FEATURES)),
    "likelihoods.DiscretizedLogistic": lambda: likelihoods.DiscretizedLogistic(
        decoder(2, FEATURES), levels=LEVELS, offset=2.5, scale=1.5
    ),
    "likelihoods.FixedGaussian": lambda: likelihoods.FixedGaussian(decoder(FEATURES), sigma=0.5, offset=1.0, scale=2.0),
    "likelihoods.Gaussian": lambda: likelihoods.Gaussian(
        decoder(FEATURES), offset=(1.0, 2.0, 3.0, 4.0, 5.0), scale=(0.5, 1.0, 1.5, 2.0, 2.5)
    ),
    "likelihoods.PredictedGaussian": lambda: likelihoods.PredictedGaussian(decoder(2, FEATURES), offset=1.0, scale=2.0),
    "likelihoods.Poisson": lambda: likelihoods.Poisson(decoder(FEATURES), offset=(1.0, 2.0, 3.0, 4.0, 5.0)),
    "objectives.ELBO": lambda: objectives.ELBO(beta=schedules.Linear(0.0, 0.5, over=0.5), samples=3),
    "objectives.Distortion": lambda: objectives.Distortion(samples=3),
    "objectives.Penalized": lambda: objectives.Penalized(objectives.ELBO(samples=3), []),
    "objectives.IWAE": lambda: objectives.IWAE(samples=3),
    "objectives.Renyi": lambda: objectives.Renyi(alpha=0.5, samples=3),
    "objectives.Rate": lambda: objectives.Rate(beta=0.5, samples=3),
    "objectives.GAN": lambda: objectives.GAN(MLP(FEATURES, [6], (), nn.Tanh)),
    "objectives.VAEGAN": lambda: objectives.VAEGAN(encoder(4), MLP(4, [6], (), nn.Tanh), gamma=0.5, samples=3),
    "objectives.AdversarialCodes": lambda: objectives.AdversarialCodes(MLP(LATENT, [6], (), nn.Tanh), weight=0.5),
    "objectives.CodeNorm": lambda: objectives.CodeNorm(weight=0.5),
    "objectives.WeightNorm": lambda: objectives.WeightNorm(decoder(FEATURES), weight=0.5),
    "objectives.Contractive": lambda: objectives.Contractive(weight=0.5, scale=2.0),
    "objectives.DecoderSlope": lambda: objectives.DecoderSlope(weight=0.5, scale=2.0, probes=2),
    "objectives.MSSSIM": lambda: objectives.MSSSIM(span=2.0, weight=0.5, window=5),
    "objectives.Perceptual": lambda: objectives.Perceptual(encoder(4), weight=0.5),
    "estimators.Reparameterized": lambda: estimators.Reparameterized(),
    "estimators.AnalyticKL": lambda: estimators.AnalyticKL(),
    "estimators.Path": lambda: estimators.Path(),
    "estimators.Score": lambda: estimators.Score(),
    "nn.MLP": lambda: MLP(FEATURES, [6, 4], (2, 3), nn.Tanh, offset=0.5, scale=2.0),
    "nn.ConvEncoder": lambda: ConvEncoder(IMAGE, (2, 3), channels=(3, 4), offset=0.5, scale=2.0),
    "nn.ConvDecoder": lambda: ConvDecoder(LATENT, (2, *IMAGE), channels=(3, 4)),
    "nn.Layer": lambda: Layer(FEATURES, LATENT, nn.Tanh, offset=0.5, scale=2.0),
    "nn.Transposed": lambda: Transposed(Layer(FEATURES, LATENT)),
    "nn.Standardize": lambda: Standardize((FEATURES,), offset=(1.0, 2.0, 3.0, 4.0, 5.0), scale=2.0),
    "schedules.Constant": lambda: schedules.Constant(0.5),
    "schedules.Linear": lambda: schedules.Linear(0.0, 2.0, over=0.5),
    "schedules.Cyclical": lambda: schedules.Cyclical(cycles=3, ramp=0.5, end=2.0),
    "schedules.Capacity": lambda: schedules.Capacity(nats=2.0, over=0.5),
    "distributions.Bits": lambda: distributions.Bits(torch.tensor([0.5, -0.5]), 1),
    "distributions.Delta": lambda: distributions.Delta(torch.tensor([0.5, -0.5])),
    "distributions.DiscretizedLogistic": lambda: distributions.DiscretizedLogistic(
        torch.tensor([0.3, 2.5]), torch.tensor([0.7, 1.2]), levels=LEVELS
    ),
    "distributions.diagonal_normal": lambda: distributions.diagonal_normal(torch.zeros(LATENT), torch.ones(LATENT)),
    "recipes.ae": lambda: recipes.ae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.dae": lambda: recipes.dae(BINARY, latent=LATENT, hidden=(6,), noise=0.1),
    "recipes.vae": lambda: recipes.vae(BINARY, latent=LATENT, hidden=(6,), warmup=0.5),
    "recipes.conv_vae": lambda: recipes.conv_vae(BINARY, latent=LATENT, channels=(3, 4)),
    "recipes.beta_vae": lambda: recipes.beta_vae(BINARY, latent=LATENT, beta=2.0, hidden=(6,)),
    "recipes.vae_full_covariance": lambda: recipes.vae_full_covariance(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.linear_vae": lambda: recipes.linear_vae(REAL, latent=LATENT),
    "recipes.iwae": lambda: recipes.iwae(BINARY, latent=LATENT, samples=3, hidden=(6,)),
    "recipes.aae": lambda: recipes.aae(BINARY, latent=LATENT, hidden=(6,), discriminator=(6,)),
    "recipes.wae_gan": lambda: recipes.wae_gan(BINARY, latent=LATENT, hidden=(6,), discriminator=(6,)),
    "recipes.vae_gan": lambda: recipes.vae_gan(BINARY, latent=LATENT, hidden=(6,), discriminator=(6, 4)),
    "recipes.gan": lambda: recipes.gan(BINARY, latent=LATENT, hidden=(6,), discriminator=(6,)),
    "recipes.ms_ssim_vae": lambda: recipes.ms_ssim_vae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.rae_l2": lambda: recipes.rae_l2(BINARY, latent=LATENT, hidden=(6,), components=3),
    "recipes.rae_gp": lambda: recipes.rae_gp(BINARY, latent=LATENT, hidden=(6,), components=3),
    "recipes.contractive_ae": lambda: recipes.contractive_ae(BINARY, latent=LATENT),
}


def of(*axes: str) -> list[str]:
    """The names in the table that belong to these axes."""
    return [name for name in COMPONENTS if name.split(".")[0] in axes]


def objective(name: str) -> objectives.Objective:
    """The objective; a penalty is subtracted from the ELBO, so that what holds for objectives is tested for it too."""
    made = make(name)
    return objectives.Penalized(objectives.ELBO(samples=3), [made]) if isinstance(made, objectives.Penalty) else made


def surroundings(name: str, samples: int, batch: int) -> dict[str, Any]:
    """What terms hold beside densities and codes: a batch that the objective accepts, p(x|z), encoder and decoder."""
    event = IMAGE if name == "objectives.MSSSIM" else (FEATURES,)
    likelihood = likelihoods.FixedGaussian(MLP(LATENT, [6], event))
    posterior = posteriors.DiagonalNormal(MLP(event, [6], (2, LATENT)), LATENT)
    terms = VAE(priors.StandardNormal(LATENT), likelihood, posterior).terms(torch.randn(batch, *event), samples)
    return {"x": terms.x, "px": terms.px, "encode": terms.encode, "decode": terms.decode}


def make(name: str, seed: int = 0) -> Any:
    """The component with weights of order one: no layer starts at zero, so nothing is hidden behind a zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        component = COMPONENTS[name]()
        module = getattr(component, "model", component)
        if isinstance(module, nn.Module):
            with torch.no_grad():
                for p in module.parameters():
                    p.add_(0.2 * torch.randn_like(p))
    return component
