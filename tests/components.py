"""A tiny constructor for everything that the axes and `elbox.nn` export: the contract tests run over this table.

A new component is one line here. Parts read data of shape (FEATURES,) and have codes of shape (LATENT,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from elbox import DataSpec, distributions, estimators, likelihoods, objectives, posteriors, priors, recipes, schedules
from elbox.nn import MLP, Bayesian, BayesianLinear, ConvDecoder, ConvEncoder, Standardize

LATENT, FEATURES, LEVELS, IMAGE = 2, 5, 6, (1, 8, 9)

BINARY = DataSpec(IMAGE, "binary")
REAL = DataSpec(IMAGE, "real", offset=0.5, scale=0.5)
COUNTED = DataSpec(IMAGE, "binary", examples=50)


def encoder(*outputs: int) -> MLP:
    return MLP(FEATURES, [6], outputs, nn.Tanh)


def decoder(*outputs: int) -> MLP:
    return MLP(LATENT, [6], outputs, nn.Tanh)


COMPONENTS: dict[str, Callable[[], Any]] = {
    "priors.StandardNormal": lambda: priors.StandardNormal(LATENT),
    "priors.LearnedNormal": lambda: priors.LearnedNormal(LATENT),
    "priors.NormalMixture": lambda: priors.NormalMixture(LATENT, components=3),
    "posteriors.DiagonalNormal": lambda: posteriors.DiagonalNormal(encoder(2, LATENT), LATENT),
    "posteriors.FullNormal": lambda: posteriors.FullNormal(encoder(2 + LATENT, LATENT), LATENT),
    "posteriors.Deterministic": lambda: posteriors.Deterministic(encoder(LATENT), LATENT),
    "posteriors.Corrupted": lambda: posteriors.Corrupted(
        posteriors.DiagonalNormal(encoder(2, LATENT), LATENT), masking=0.3, noise=0.1
    ),
    "posteriors.LocalNormal": lambda: posteriors.LocalNormal(
        priors.StandardNormal(LATENT), likelihoods.Gaussian(decoder(FEATURES)), LATENT, steps=3
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
    "estimators.Reparameterized": lambda: estimators.Reparameterized(),
    "estimators.AnalyticKL": lambda: estimators.AnalyticKL(),
    "estimators.Path": lambda: estimators.Path(),
    "estimators.Score": lambda: estimators.Score(),
    "estimators.WakeSleep": lambda: estimators.WakeSleep(),
    "estimators.ReweightedWakeSleep": lambda: estimators.ReweightedWakeSleep(),
    "estimators.MonteCarloEM": lambda: estimators.MonteCarloEM(leapfrogs=2),
    "estimators.MAP": lambda: estimators.MAP(estimators.Reparameterized(), examples=50, scale=0.5),
    "estimators.BayesianWeights": lambda: estimators.BayesianWeights(estimators.AnalyticKL(), examples=50),
    "nn.MLP": lambda: MLP(FEATURES, [6, 4], (2, 3), nn.Tanh, offset=0.5, scale=2.0),
    "nn.Bayesian": lambda: Bayesian(MLP(FEATURES, [6, 4], (2, 3), nn.Tanh), scale=0.5),
    "nn.BayesianLinear": lambda: BayesianLinear(FEATURES, 3, scale=0.5),
    "nn.ConvEncoder": lambda: ConvEncoder(IMAGE, (2, 3), channels=(3, 4), offset=0.5, scale=2.0),
    "nn.ConvDecoder": lambda: ConvDecoder(LATENT, (2, *IMAGE), channels=(3, 4)),
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
    "recipes.wake_sleep": lambda: recipes.wake_sleep(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.reweighted_wake_sleep": lambda: recipes.reweighted_wake_sleep(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.mcem": lambda: recipes.mcem(BINARY, latent=LATENT, hidden=(6,), leapfrogs=2),
    "recipes.local_vi": lambda: recipes.local_vi(BINARY, latent=LATENT, hidden=(6,), steps=3),
    "recipes.bayesian_vae": lambda: recipes.bayesian_vae(COUNTED, latent=LATENT, hidden=(6,)),
    "recipes.map_vae": lambda: recipes.map_vae(COUNTED, latent=LATENT, hidden=(6,)),
}


def of(*axes: str) -> list[str]:
    """The names in the table that belong to these axes."""
    return [name for name in COMPONENTS if name.split(".")[0] in axes]


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
