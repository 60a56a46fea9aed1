"""Distributions and Kullback–Leibler divergences that torch.distributions and zuko lack."""

from elbox.distributions import families as families  # names the families that a file may name
from elbox.distributions import kl as kl  # registers its divergences with torch
from elbox.distributions import kl_families as kl_families
from elbox.distributions.beta import Beta
from elbox.distributions.bits import Bits
from elbox.distributions.bounded import Triangular, Uniform
from elbox.distributions.code import Code
from elbox.distributions.continuous_bernoulli import ContinuousBernoulli
from elbox.distributions.delta import Delta
from elbox.distributions.discretized_logistic import DiscretizedLogistic
from elbox.distributions.elliptical import Elliptical
from elbox.distributions.hyperspherical_uniform import HypersphericalUniform, OnSpheres
from elbox.distributions.logistic import Logistic
from elbox.distributions.low_rank_normal import LowRankNormal
from elbox.distributions.multinomial import Multinomial
from elbox.distributions.multivariate_normal import MultivariateNormal
from elbox.distributions.negative_binomial import NegativeBinomial, ZeroInflatedNegativeBinomial
from elbox.distributions.normal import diagonal_normal, soft_clip
from elbox.distributions.normal_mixture import NormalMixture
from elbox.distributions.one_hots import OneHots
from elbox.distributions.own_draws import OwnDraws
from elbox.distributions.poisson import Poisson
from elbox.distributions.power_spherical import PowerSpherical
from elbox.distributions.pushforward import Pushforward
from elbox.distributions.quantized import Quantized
from elbox.distributions.rayleigh import Rayleigh
from elbox.distributions.rgb_logistic_mixture import RGBLogisticMixture
from elbox.distributions.riemannian_normal import RiemannianNormal
from elbox.distributions.spike_slab import SpikeSlab
from elbox.distributions.student import MultivariateStudentT
from elbox.distributions.student_t import StudentT
from elbox.distributions.tokens import Tokens
from elbox.distributions.von_mises import VonMises
from elbox.distributions.von_mises_fisher import VonMisesFisher
from elbox.distributions.weibull import Weibull
from elbox.distributions.wrapped_normal import WrappedNormal

__all__ = [
    "Beta",
    "Bits",
    "Code",
    "ContinuousBernoulli",
    "Delta",
    "DiscretizedLogistic",
    "Elliptical",
    "HypersphericalUniform",
    "Logistic",
    "LowRankNormal",
    "Multinomial",
    "MultivariateNormal",
    "MultivariateStudentT",
    "NegativeBinomial",
    "NormalMixture",
    "OnSpheres",
    "OneHots",
    "OwnDraws",
    "Poisson",
    "PowerSpherical",
    "Pushforward",
    "Quantized",
    "RGBLogisticMixture",
    "Rayleigh",
    "RiemannianNormal",
    "SpikeSlab",
    "StudentT",
    "Tokens",
    "Triangular",
    "Uniform",
    "VonMises",
    "VonMisesFisher",
    "Weibull",
    "WrappedNormal",
    "ZeroInflatedNegativeBinomial",
    "diagonal_normal",
    "soft_clip",
]
