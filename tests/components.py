"""A tiny constructor for everything that the axes and `elbox.nn` export: the contract tests run over this table.

A new component is one line here. Parts read data of shape (FEATURES,) and have codes of shape (LATENT,).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from elbox import (
    VAE,
    DataSpec,
    baselines,
    distributions,
    estimators,
    flows,
    kernels,
    likelihoods,
    objectives,
    posteriors,
    priors,
    recipes,
    schedules,
)
from elbox.nn import (
    MLP,
    Angles,
    Bayesian,
    BayesianLinear,
    CausalTransformer,
    Codebook,
    Columns,
    ConvDecoder,
    ConvEncoder,
    FiniteScalar,
    Front,
    GatedMLP,
    Gyroplanes,
    Layer,
    LogCounts,
    LogTotal,
    MapDecoder,
    MapEncoder,
    PixelCNN,
    PoincareBall,
    Proportions,
    RadialMetric,
    Standardize,
    Summed,
    Transposed,
)

LATENT, FEATURES, LEVELS, IMAGE = 2, 5, 6, (1, 8, 9)

BINARY = DataSpec(IMAGE, "binary", examples=50)
REAL = DataSpec(IMAGE, "real", offset=0.5, scale=0.5, examples=50)


def encoder(*outputs: int) -> MLP:
    return MLP(FEATURES, [6], outputs, nn.Tanh)


def experts() -> list[posteriors.DiagonalNormal]:
    """Encoders of two views that lie side by side."""
    views = (Columns(MLP(2, [6], (2, LATENT), nn.Tanh), 0, 2), Columns(MLP(3, [6], (2, LATENT), nn.Tanh), 2, 5))
    return [posteriors.DiagonalNormal(view, LATENT) for view in views]


def remembering() -> priors.ExemplarPrior:
    """An exemplar prior that has seen its exemplars."""
    prior = priors.ExemplarPrior(
        posteriors.DiagonalNormal(encoder(2, LATENT), LATENT), LATENT, (FEATURES,), examples=4, components=3
    )
    prior.remember(torch.arange(4.0 * FEATURES).reshape(4, FEATURES).sin())
    return prior


def decoder(*outputs: int) -> MLP:
    return MLP(LATENT, [6], outputs, nn.Tanh)


COUNT = DataSpec(IMAGE, "count", offset=0.5, scale=1.0, examples=50)

SPECS = {
    "linear_vae": REAL,
    "sigma_vae": REAL,
    "count_vae": COUNT,
    "topic_vae": COUNT,
    "logistic_normal_topic_vae": COUNT,
}  # of recipes; the rest: BINARY


def small(name: str, spec: DataSpec | None = None, **settings: Any) -> recipes.Recipe:
    """The recipe with narrow layers, for data of this spec."""
    known = recipes.base.settings_of(recipes.RECIPES[name])
    narrow = {
        k: v
        for k, v in {"hidden": (6,), "channels": (3, 4), "discriminator": (6,), "conditioner": (6,)}.items()
        for k, v in {"hidden": (6,), "channels": (3, 4), "discriminator": (6,), "second": (6,)}.items()
        if k in known
    }
    narrow = {"hidden": (6,), "channels": (3, 4), "discriminator": (6,), "codes": 8}
    narrow = {k: v for k, v in narrow.items() if k in known}
    settings = {k: v for k, v in settings.items() if k != "latent" or k in known}  # a grid has levels instead
    return recipes.RECIPES[name](spec or SPECS.get(name, BINARY), **narrow | settings)


EVENTS = {"likelihoods.ComplexGaussian": (2, 3)}  # of likelihoods; the rest: (FEATURES,)


def event_of(name: str) -> tuple[int, ...]:
    """Shape of one example of a likelihood in the table."""
    return EVENTS.get(name, (FEATURES,))


def example(name: str) -> Tensor:
    """One example, without a random number, to which a likelihood in the table gives a probability."""
    event = event_of(name)
    k = torch.arange(float(prod(event))).reshape(event)
    ways = {"binary": k % 2, "levels": k % LEVELS, "unit": (k + 1) / (prod(event) + 1), "positive": k + 1}
    return ways.get(getattr(likelihoods, name.split(".")[1]).kinds[0], k)


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


def start() -> posteriors.DiagonalNormal:
    return posteriors.DiagonalNormal(encoder(2, LATENT), LATENT)


def generative() -> tuple[nn.Module, nn.Module]:
    """A prior and a likelihood for posteriors that receive them."""
    return priors.LearnedNormal(LATENT), likelihoods.Gaussian(decoder(FEATURES))


def posterior_of(name: str, batch: int) -> Distribution:
    """A posterior q(z|x) that the objective accepts, over [LATENT]."""
    if name == "objectives.Commitment":
        return make("posteriors.QuantizedCode")(torch.randn(batch, FEATURES))
    return distributions.diagonal_normal(torch.randn(batch, LATENT), torch.ones(LATENT))


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
    "likelihoods.Bernoulli": lambda: likelihoods.Bernoulli(decoder(FEATURES), offset=0.3),
    "likelihoods.Categorical": lambda: likelihoods.Categorical(decoder(LEVELS, FEATURES), offset=2.0, scale=1.5),
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
    "nn.MLP": lambda: MLP(FEATURES, [6, 4], (2, 3), nn.Tanh, offset=0.5, scale=2.0),
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
    "likelihoods.Beta": lambda: likelihoods.Beta(decoder(2, FEATURES), offset=0.4, scale=0.2),
    "likelihoods.Binomial": lambda: likelihoods.Binomial(decoder(FEATURES), levels=LEVELS, offset=2.0),
    "likelihoods.ComplexGaussian": lambda: likelihoods.ComplexGaussian(decoder(3, 3), offset=1.0, scale=2.0),
    "likelihoods.ContinuousBernoulli": lambda: likelihoods.ContinuousBernoulli(decoder(FEATURES), offset=0.3),
    "likelihoods.DiscretizedLogisticMixture": lambda: likelihoods.DiscretizedLogisticMixture(
        decoder(3 * 4, FEATURES), levels=LEVELS, offset=2.5, scale=1.5
    ),
    "likelihoods.Laplace": lambda: likelihoods.Laplace(decoder(FEATURES), offset=1.0, scale=2.0),
    "likelihoods.LogNormal": lambda: likelihoods.LogNormal(decoder(FEATURES), offset=(1.0, 2.0, 3.0, 4.0, 5.0)),
    "likelihoods.Multinomial": lambda: likelihoods.Multinomial(decoder(FEATURES), offset=(1.0, 2.0, 3.0, 4.0, 5.0)),
    "likelihoods.NegativeBinomial": lambda: likelihoods.NegativeBinomial(
        decoder(FEATURES), offset=(1.0, 2.0, 3.0, 4.0, 5.0), scale=3.0, library=True
    ),
    "likelihoods.OptimalGaussian": lambda: likelihoods.OptimalGaussian(decoder(FEATURES), offset=1.0, scale=2.0),
    "likelihoods.StudentT": lambda: likelihoods.StudentT(decoder(FEATURES), offset=1.0, scale=2.0),
    "likelihoods.ZeroInflatedNegativeBinomial": lambda: likelihoods.ZeroInflatedNegativeBinomial(
        decoder(2, FEATURES), offset=2.0, scale=3.0
    ),
    "nn.LogCounts": lambda: LogCounts(MLP(FEATURES, [6], (2, 3), nn.Tanh)),
    "nn.LogTotal": LogTotal,
    "distributions.Beta": lambda: distributions.Beta(torch.tensor([0.5, 3.0]), torch.tensor([2.0, 2.0])),
    "distributions.ContinuousBernoulli": lambda: distributions.ContinuousBernoulli(torch.tensor([0.0, 3.0])),
    "distributions.Multinomial": lambda: distributions.Multinomial(torch.tensor([0.3, 1.0, -1.0]), 1, total=4),
    "distributions.NegativeBinomial": lambda: distributions.NegativeBinomial(
        torch.tensor([0.5, 3.0]), torch.tensor([2.0, 0.5])
    ),
    "distributions.Poisson": lambda: distributions.Poisson(torch.tensor([0.5, 3.0])),
    "distributions.RGBLogisticMixture": lambda: distributions.RGBLogisticMixture(
        torch.zeros(2, 1, 1), *(torch.ones(3, 3, 2, 1, 1)), torch.tensor(2.0), levels=LEVELS
    ),
    "distributions.StudentT": lambda: distributions.StudentT(
        torch.tensor([3.0, 5.0]), torch.tensor([0.5, 3.0]), torch.tensor([2.0, 0.5])
    ),
    "distributions.ZeroInflatedNegativeBinomial": lambda: distributions.ZeroInflatedNegativeBinomial(
        torch.tensor([0.5, 3.0]), torch.tensor([2.0, 0.5]), torch.tensor([0.0, -1.0])
    ),
    "recipes.sigma_vae": lambda: recipes.sigma_vae(REAL, latent=LATENT, hidden=(6,)),
    "recipes.count_vae": lambda: recipes.count_vae(COUNT, latent=LATENT, hidden=(6,), zero_inflated=True),
    "recipes.topic_vae": lambda: recipes.topic_vae(COUNT, latent=LATENT, hidden=(6,)),
    "priors.Factorized": lambda: priors.Factorized(LATENT, distributions.Logistic, learned=True, scale=(0.5, 1.5)),
    "posteriors.Factorized": lambda: posteriors.Factorized(encoder(2, LATENT), LATENT, distributions.Logistic),
    "posteriors.FullStudentT": lambda: posteriors.FullStudentT(encoder(2 + LATENT, LATENT), LATENT, df=8.0),
    "nn.Angles": lambda: Angles(MLP(2 * FEATURES, [6], (2, 3), nn.Tanh)),
    "distributions.Logistic": lambda: distributions.Logistic(torch.zeros(LATENT), torch.ones(LATENT)),
    "distributions.MultivariateStudentT": lambda: distributions.MultivariateStudentT(
        torch.tensor(5.0), torch.zeros(LATENT), torch.eye(LATENT)
    ),
    "distributions.Rayleigh": lambda: distributions.Rayleigh(torch.ones(LATENT)),
    "distributions.Triangular": lambda: distributions.Triangular(torch.zeros(LATENT), torch.ones(LATENT)),
    "distributions.Uniform": lambda: distributions.Uniform(torch.zeros(LATENT), torch.ones(LATENT)),
    "distributions.VonMises": lambda: distributions.VonMises(torch.zeros(LATENT), torch.ones(LATENT)),
    "distributions.Weibull": lambda: distributions.Weibull(torch.ones(LATENT), torch.ones(LATENT)),
    "priors.BernoulliPrior": lambda: priors.BernoulliPrior(LATENT, share=0.3, learned=True),
    "priors.CategoricalPrior": lambda: priors.CategoricalPrior(1, LATENT, learned=True),
    "posteriors.BernoulliCode": lambda: posteriors.BernoulliCode(encoder(LATENT), LATENT),
    "posteriors.CategoricalCode": lambda: posteriors.CategoricalCode(encoder(1, LATENT), 1, LATENT),
    "estimators.VIMCO": lambda: estimators.VIMCO(),
    "estimators.NVIL": lambda: estimators.NVIL(encoder(1), decay=0.9),
    "estimators.Enumerated": lambda: estimators.Enumerated(limit=64),
    "estimators.Relaxed": lambda: estimators.Relaxed(schedules.Linear(1.0, 0.5)),
    "estimators.StraightThrough": lambda: estimators.StraightThrough(0.5),
    "estimators.REBAR": lambda: estimators.REBAR(encoder(1), temperature=0.7),
    "estimators.RELAX": lambda: estimators.RELAX(MLP(LATENT, [4], 1, nn.Tanh, context=FEATURES), scale=0.9),
    "baselines.Zero": lambda: baselines.Zero(),
    "baselines.MovingAverage": lambda: baselines.MovingAverage(decay=0.8),
    "baselines.LeaveOneOut": lambda: baselines.LeaveOneOut(),
    "baselines.StandIn": lambda: baselines.StandIn(),
    "baselines.InputDependent": lambda: baselines.InputDependent(encoder(1), normalize=True),
    "distributions.OneHots": lambda: distributions.OneHots(torch.tensor([0.5, -0.5, 1.0, 0.0]), categories=2),
    "recipes.nvil": lambda: recipes.nvil(BINARY, latent=LATENT, hidden=(6,), baseline=4),
    "recipes.vimco": lambda: recipes.vimco(BINARY, latent=LATENT, samples=3, hidden=(6,)),
    "recipes.rebar": lambda: recipes.rebar(BINARY, latent=LATENT, hidden=(6,), baseline=4),
    "recipes.relax": lambda: recipes.relax(BINARY, latent=LATENT, hidden=(6,), surrogate=4),
    "recipes.gumbel_vae": lambda: recipes.gumbel_vae(BINARY, latent=LATENT, categories=3, hidden=(6,)),
    "objectives.CIWAE": lambda: objectives.CIWAE(beta=0.3, samples=3),
    "objectives.CUBO": lambda: objectives.CUBO(order=2.0, samples=3),
    "objectives.MIWAE": lambda: objectives.MIWAE(outer=2, inner=2),
    "objectives.PIWAE": lambda: objectives.PIWAE(outer=2, inner=2),
    "objectives.Split": lambda: objectives.Split(objectives.IWAE(3), objectives.CUBO(2.0, samples=3)),
    "objectives.TVO": lambda: objectives.TVO(partitions=2, samples=3),
    "estimators.Covariance": lambda: estimators.Covariance(),
    "schedules.Exponential": lambda: schedules.Exponential(2.0, 0.5, over=0.5),
    "schedules.Sigmoid": lambda: schedules.Sigmoid(0.0, 2.0, over=0.5, steepness=8.0),
    "recipes.miwae": lambda: recipes.miwae(BINARY, latent=LATENT, outer=2, inner=3, hidden=(6,)),
    "recipes.piwae": lambda: recipes.piwae(BINARY, latent=LATENT, outer=2, inner=3, hidden=(6,)),
    "recipes.ciwae": lambda: recipes.ciwae(BINARY, latent=LATENT, beta=0.2, samples=3, hidden=(6,)),
    "recipes.renyi_vae": lambda: recipes.renyi_vae(BINARY, latent=LATENT, alpha=0.2, samples=3, hidden=(6,)),
    "recipes.tvo": lambda: recipes.tvo(BINARY, latent=LATENT, partitions=3, samples=4, hidden=(6,)),
    "recipes.annealed_vae": lambda: recipes.annealed_vae(BINARY, latent=LATENT, capacity=2.0, hidden=(6,)),
    "recipes.cyclical_vae": lambda: recipes.cyclical_vae(BINARY, latent=LATENT, cycles=2, hidden=(6,)),
    "recipes.free_bits_vae": lambda: recipes.free_bits_vae(BINARY, latent=LATENT, free_bits=0.1, hidden=(6,)),
    "objectives.TotalCorrelation": lambda: objectives.TotalCorrelation(weight=0.5, examples=50),
    "objectives.MutualInformation": lambda: objectives.MutualInformation(weight=0.5, examples=50),
    "objectives.AdversarialTotalCorrelation": lambda: objectives.AdversarialTotalCorrelation(
        MLP(LATENT, [6], (), nn.LeakyReLU), weight=0.5
    ),
    "objectives.InferredPrior": lambda: objectives.InferredPrior(weight=0.5, ratio=2.0, of_codes=True),
    "objectives.MMD": lambda: objectives.MMD(weight=0.5, kernel=kernels.RBF(width=2.0)),
    "objectives.SlicedWasserstein": lambda: objectives.SlicedWasserstein(weight=0.5, projections=5),
    "kernels.RBF": lambda: kernels.RBF(width=2.0),
    "kernels.InverseMultiquadric": lambda: kernels.InverseMultiquadric(sigma=2.0, scales=(0.5, 2.0)),
    "recipes.beta_tcvae": lambda: recipes.beta_tcvae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.factor_vae": lambda: recipes.factor_vae(BINARY, latent=LATENT, hidden=(6,), discriminator=(6,)),
    "recipes.dip_vae": lambda: recipes.dip_vae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.info_vae": lambda: recipes.info_vae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.wae_mmd": lambda: recipes.wae_mmd(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.swae": lambda: recipes.swae(BINARY, latent=LATENT, hidden=(6,)),
    "priors.FittedMixture": lambda: priors.FittedMixture(LATENT, components=3),
    "posteriors.FromPrior": lambda: posteriors.FromPrior(priors.LearnedNormal(LATENT)),
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
    "nn.Layer": lambda: Layer(FEATURES, LATENT, nn.Tanh, offset=0.5, scale=2.0),
    "nn.Transposed": lambda: Transposed(Layer(FEATURES, LATENT)),
    "recipes.aae": lambda: recipes.aae(BINARY, latent=LATENT, hidden=(6,), discriminator=(6,)),
    "recipes.wae_gan": lambda: recipes.wae_gan(BINARY, latent=LATENT, hidden=(6,), discriminator=(6,)),
    "recipes.vae_gan": lambda: recipes.vae_gan(BINARY, latent=LATENT, hidden=(6,), discriminator=(6, 4)),
    "recipes.gan": lambda: recipes.gan(BINARY, latent=LATENT, hidden=(6,), discriminator=(6,)),
    "recipes.ms_ssim_vae": lambda: recipes.ms_ssim_vae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.rae_l2": lambda: recipes.rae_l2(BINARY, latent=LATENT, hidden=(6,), components=3),
    "recipes.rae_gp": lambda: recipes.rae_gp(BINARY, latent=LATENT, hidden=(6,), components=3),
    "recipes.contractive_ae": lambda: recipes.contractive_ae(BINARY, latent=LATENT),
    "posteriors.LocalNormal": lambda: posteriors.LocalNormal(
        priors.StandardNormal(LATENT), likelihoods.Gaussian(decoder(FEATURES)), LATENT, steps=3
    ),
    "estimators.WakeSleep": lambda: estimators.WakeSleep(),
    "estimators.ReweightedWakeSleep": lambda: estimators.ReweightedWakeSleep(),
    "estimators.MonteCarloEM": lambda: estimators.MonteCarloEM(leapfrogs=2),
    "estimators.MAP": lambda: estimators.MAP(estimators.Reparameterized(), examples=50, scale=0.5),
    "estimators.BayesianWeights": lambda: estimators.BayesianWeights(estimators.AnalyticKL(), examples=50),
    "nn.Bayesian": lambda: Bayesian(MLP(FEATURES, [6, 4], (2, 3), nn.Tanh), scale=0.5),
    "nn.BayesianLinear": lambda: BayesianLinear(FEATURES, 3, scale=0.5),
    "recipes.wake_sleep": lambda: recipes.wake_sleep(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.reweighted_wake_sleep": lambda: recipes.reweighted_wake_sleep(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.mcem": lambda: recipes.mcem(BINARY, latent=LATENT, hidden=(6,), leapfrogs=2),
    "recipes.local_vi": lambda: recipes.local_vi(BINARY, latent=LATENT, hidden=(6,), steps=3),
    "recipes.bayesian_vae": lambda: recipes.bayesian_vae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.map_vae": lambda: recipes.map_vae(BINARY, latent=LATENT, hidden=(6,)),
    "posteriors.LowRankNormal": lambda: posteriors.LowRankNormal(encoder(2 + 2, LATENT), LATENT, rank=2),
    "posteriors.Flow": lambda: posteriors.Flow(
        encoder(2 * LATENT + 3), LATENT, [flows.Planar(LATENT, 3), flows.Autoregressive(LATENT, 3, hidden=(4,))], 3
    ),
    "distributions.LowRankNormal": lambda: distributions.LowRankNormal(
        torch.zeros(LATENT), torch.ones(LATENT), torch.ones(LATENT, 1)
    ),
    "distributions.Pushforward": lambda: distributions.Pushforward(
        distributions.diagonal_normal(torch.zeros(LATENT), torch.ones(LATENT)),
        flows.Linear(LATENT, 3)(torch.zeros(3)),
    ),
    "flows.Affine": lambda: flows.Affine(),
    "flows.Autoregressive": lambda: flows.Autoregressive(LATENT, 3, flows.Affine(), (4,), nn.Tanh, flipped=True),
    "flows.Continuous": lambda: flows.Continuous(LATENT, 3, (4,), exact=False),
    "flows.Coupling": lambda: flows.Coupling(LATENT, 3, flows.Shift(), (4,), nn.Tanh, flipped=True),
    "flows.Gate": lambda: flows.Gate(bias=1.0),
    "flows.Householder": lambda: flows.Householder(2),
    "flows.Inverse": lambda: flows.Inverse(flows.Autoregressive(LATENT, 3)),
    "flows.Linear": lambda: flows.Linear(LATENT, 3),
    "flows.Neural": lambda: flows.Neural(signal=3, hidden=(4,)),
    "flows.Orthogonal": lambda: flows.Orthogonal(2),
    "flows.Planar": lambda: flows.Planar(LATENT, 3),
    "flows.Radial": lambda: flows.Radial(LATENT, 3),
    "flows.Shift": lambda: flows.Shift(),
    "flows.Spline": lambda: flows.Spline(bins=4, bound=3.0),
    "flows.Sylvester": lambda: flows.Sylvester(LATENT, 3, flows.Triangular()),
    "flows.Triangular": lambda: flows.Triangular(flipped=True),
    "recipes.vae_low_rank": lambda: recipes.vae_low_rank(BINARY, latent=LATENT, hidden=(6,), rank=2),
    "recipes.planar_vae": lambda: recipes.planar_vae(BINARY, latent=LATENT, hidden=(6,), steps=2),
    "recipes.radial_vae": lambda: recipes.radial_vae(BINARY, latent=LATENT, hidden=(6,), steps=2),
    "recipes.sylvester_vae": lambda: recipes.sylvester_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, columns=1),
    "recipes.iaf_vae": lambda: recipes.iaf_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, conditioner=(4,)),
    "recipes.maf_vae": lambda: recipes.maf_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, conditioner=(4,)),
    "recipes.ffjord_vae": lambda: recipes.ffjord_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, conditioner=(4,)),
    "recipes.nice_vae": lambda: recipes.nice_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, conditioner=(4,)),
    "recipes.realnvp_vae": lambda: recipes.realnvp_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, conditioner=(4,)),
    "recipes.glow_vae": lambda: recipes.glow_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, conditioner=(4,)),
    "recipes.spline_vae": lambda: recipes.spline_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, conditioner=(4,)),
    "priors.VampPrior": lambda: priors.VampPrior(
        posteriors.DiagonalNormal(encoder(2, LATENT), LATENT), (FEATURES,), components=3
    ),
    "priors.ExemplarPrior": remembering,
    "priors.Flow": lambda: priors.Flow(LATENT, steps=2, hidden=(6,)),
    "priors.LogisticNormal": lambda: priors.LogisticNormal(LATENT, concentration=0.5),
    "priors.SpikeSlab": lambda: priors.SpikeSlab(LATENT, share=0.3, spike=0.2),
    "posteriors.SpikeSlab": lambda: posteriors.SpikeSlab(encoder(3, LATENT), LATENT, spike=0.2),
    "posteriors.NormalMixture": lambda: posteriors.NormalMixture(encoder(3, 1 + 2 * LATENT), LATENT, components=3),
    "posteriors.ProductOfExperts": lambda: posteriors.ProductOfExperts(experts()),
    "posteriors.MixtureOfExperts": lambda: posteriors.MixtureOfExperts(experts()),
    "posteriors.Centre": lambda: posteriors.Centre(posteriors.DiagonalNormal(encoder(2, LATENT), LATENT)),
    "distributions.NormalMixture": lambda: distributions.NormalMixture(
        torch.zeros(3), torch.arange(6.0).reshape(3, 2), torch.ones(2)
    ),
    "distributions.SpikeSlab": lambda: distributions.SpikeSlab(*torch.tensor([[0.5], [1.0], [2.0], [0.1]])),
    "nn.Columns": lambda: Columns(MLP(2, [6], (2, 3), nn.Tanh), 1, 3),
    "nn.Proportions": lambda: Proportions(MLP(FEATURES, [6], (2, 3), nn.Tanh)),
    "nn.GatedMLP": lambda: GatedMLP(FEATURES, [6, 4], (2, 3), offset=0.5, scale=2.0),
    "recipes.vamp_vae": lambda: recipes.vamp_vae(BINARY, latent=LATENT, components=3, hidden=(6,)),
    "recipes.exemplar_vae": lambda: recipes.exemplar_vae(BINARY, latent=LATENT, components=3, hidden=(6,)),
    "recipes.flow_prior_vae": lambda: recipes.flow_prior_vae(BINARY, latent=LATENT, hidden=(6,), steps=2, widths=(6,)),
    "recipes.gmvae": lambda: recipes.gmvae(BINARY, latent=LATENT, components=3, hidden=(6,)),
    "recipes.logistic_normal_topic_vae": lambda: recipes.logistic_normal_topic_vae(COUNT, latent=LATENT, hidden=(6,)),
    "recipes.vade": lambda: recipes.vade(BINARY, latent=LATENT, components=3, hidden=(6,)),
    "priors.Diffusion": lambda: priors.Diffusion(LATENT, hidden=(6,), tolerance=0.01),
    "priors.SecondStage": lambda: priors.SecondStage(
        recipes.vae(DataSpec((LATENT,), "real"), latent=LATENT, hidden=(6,)).model, LATENT
    ),
    "priors.Staged": lambda: priors.Staged(priors.StandardNormal(LATENT), priors.NormalMixture(LATENT, components=3)),
    "priors.Standardized": lambda: priors.Standardized(priors.NormalMixture(LATENT, components=3), LATENT),
    "recipes.two_stage_vae": lambda: recipes.two_stage_vae(BINARY, latent=LATENT, hidden=(6,), second=(6,)),
    "recipes.latent_diffusion": lambda: recipes.latent_diffusion(BINARY, latent=LATENT, hidden=(6,), second=(6,)),
    "priors.AR1": lambda: priors.AR1(LATENT, 1, correlation=0.8),
    "posteriors.BatchNormalized": lambda: posteriors.BatchNormalized(encoder(2, LATENT), LATENT, gamma=0.5),
    "posteriors.CommittedNormal": lambda: posteriors.CommittedNormal(encoder(2, LATENT), LATENT, rate=0.5),
    "posteriors.Auxiliary": lambda: posteriors.Auxiliary(
        posteriors.DiagonalNormal(encoder(2, 3), 3),
        posteriors.DiagonalNormal(MLP(FEATURES, [6], (2, LATENT), nn.Tanh, context=3), LATENT),
        posteriors.DiagonalNormal(MLP(FEATURES, [6], (2, 3), nn.Tanh, context=LATENT), 3),
        LATENT,
    ),
    "posteriors.Refined": lambda: posteriors.Refined(start(), *generative(), LATENT, steps=2),
    "posteriors.Hamiltonian": lambda: posteriors.Hamiltonian(start(), *generative(), LATENT, steps=2),
    "posteriors.RiemannianHamiltonian": lambda: posteriors.RiemannianHamiltonian(
        start(), *generative(), RadialMetric(LATENT, centroids=3), steps=2
    ),
    "nn.RadialMetric": lambda: RadialMetric(FEATURES, centroids=3),
    "recipes.bn_vae": lambda: recipes.bn_vae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.delta_vae": lambda: recipes.delta_vae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.auxiliary_vae": lambda: recipes.auxiliary_vae(BINARY, latent=LATENT, auxiliary=3, hidden=(6,)),
    "recipes.semi_amortised_vae": lambda: recipes.semi_amortised_vae(BINARY, latent=LATENT, hidden=(6,), steps=2),
    "recipes.hamiltonian_vae": lambda: recipes.hamiltonian_vae(BINARY, latent=LATENT, hidden=(6,), steps=2),
    "recipes.riemannian_hamiltonian_vae": lambda: recipes.riemannian_hamiltonian_vae(
        BINARY, latent=LATENT, hidden=(6,), centroids=3, steps=2
    ),
    "distributions.Quantized": lambda: posteriors.QuantizedCode(encoder(LATENT, 1), FiniteScalar((3,)))(
        torch.ones(1, FEATURES)
    ),
    "distributions.Tokens": lambda: distributions.Tokens(FiniteScalar((3,)), LATENT, torch.zeros(LATENT, 1, 3)),
    "posteriors.QuantizedCode": lambda: posteriors.QuantizedCode(encoder(LATENT, 1), FiniteScalar((3,))),
    "priors.CodePrior": lambda: priors.CodePrior(
        FiniteScalar((3,)), LATENT, CausalTransformer(LATENT, 3, width=4, heads=2, layers=1)
    ),
    "objectives.Commitment": lambda: objectives.Commitment(weight=0.5),
    "nn.Codebook": lambda: Codebook(size=4, width=3, depth=2, decay=None),
    "nn.FiniteScalar": lambda: FiniteScalar((3, 4)),
    "nn.PixelCNN": lambda: PixelCNN((2, 3), size=4, depth=2, hidden=4, layers=2, reach=1),
    "nn.CausalTransformer": lambda: CausalTransformer(6, size=4, depth=2, width=4, heads=2, layers=1),
    "nn.MapEncoder": lambda: MapEncoder(IMAGE, 3, channels=(4, 6)),
    "nn.MapDecoder": lambda: MapDecoder(3, (2, *IMAGE), channels=(4, 6)),
    "nn.Summed": lambda: Summed(MLP(FEATURES, [6], (2, 3), nn.Tanh), 2),
    "recipes.vq_vae": lambda: recipes.vq_vae(BINARY, latent=3, codes=5, hidden=(3, 4)),
    "recipes.residual_vq_vae": lambda: recipes.residual_vq_vae(BINARY, latent=3, codes=5, depth=2, hidden=(3, 4)),
    "recipes.fsq_vae": lambda: recipes.fsq_vae(BINARY, levels=(40, 50), hidden=(3, 4)),
    "recipes.vmf_vae": lambda: recipes.vmf_vae(BINARY, latent=2 * LATENT, spheres=2, hidden=(6,)),
    "recipes.power_spherical_vae": lambda: recipes.power_spherical_vae(BINARY, latent=LATENT, hidden=(6,)),
    "recipes.poincare_vae": lambda: recipes.poincare_vae(BINARY, latent=LATENT, hidden=(6,), learned=True),
    "posteriors.WrappedNormal": lambda: posteriors.WrappedNormal(encoder(2, LATENT), LATENT, PoincareBall(0.05)),
    "posteriors.RiemannianNormal": lambda: posteriors.RiemannianNormal(encoder(LATENT + 1), LATENT, PoincareBall(0.05)),
    "priors.WrappedNormal": lambda: priors.WrappedNormal(LATENT, PoincareBall(0.05), scale=1.5),
    "priors.RiemannianNormal": lambda: priors.RiemannianNormal(LATENT, PoincareBall(0.05), scale=1.5),
    "distributions.WrappedNormal": lambda: distributions.WrappedNormal(torch.zeros(LATENT), torch.ones(LATENT), 1.0),
    "distributions.RiemannianNormal": lambda: distributions.RiemannianNormal(torch.zeros(LATENT), torch.ones(()), 1.0),
    "nn.PoincareBall": lambda: PoincareBall(0.05, learned=True),
    "nn.Gyroplanes": lambda: Gyroplanes(FEATURES, 3, PoincareBall(0.05)),
    "nn.Front": lambda: Front(PoincareBall(0.05, learned=True), encoder(3)),
    "posteriors.VonMisesFisher": lambda: posteriors.VonMisesFisher(encoder(1, LATENT + 1), LATENT),
    "posteriors.PowerSpherical": lambda: posteriors.PowerSpherical(encoder(1, LATENT + 1), LATENT, least=0.5),
    "priors.SphericalUniform": lambda: priors.SphericalUniform(LATENT),
    "distributions.VonMisesFisher": lambda: distributions.VonMisesFisher(torch.eye(3)[0], torch.tensor(2.0)),
    "distributions.PowerSpherical": lambda: distributions.PowerSpherical(torch.eye(3)[0], torch.tensor(2.0)),
    "distributions.HypersphericalUniform": lambda: distributions.HypersphericalUniform(3, torch.zeros(())),
    "distributions.OnSpheres": lambda: distributions.OnSpheres(distributions.HypersphericalUniform(3, torch.zeros(2))),
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
