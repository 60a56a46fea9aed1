"""Distributions and Kullback–Leibler divergences that torch.distributions and zuko lack."""

from elbox.distributions import kl as kl  # registers its divergences with torch
from elbox.distributions.beta import Beta
from elbox.distributions.bits import Bits
from elbox.distributions.continuous_bernoulli import ContinuousBernoulli
from elbox.distributions.delta import Delta
from elbox.distributions.discretized_logistic import DiscretizedLogistic
from elbox.distributions.multinomial import Multinomial
from elbox.distributions.negative_binomial import NegativeBinomial, ZeroInflatedNegativeBinomial
from elbox.distributions.normal import diagonal_normal, soft_clip
from elbox.distributions.rgb_logistic_mixture import RGBLogisticMixture
from elbox.distributions.student_t import StudentT

__all__ = [
    "Beta",
    "Bits",
    "ContinuousBernoulli",
    "Delta",
    "DiscretizedLogistic",
    "Multinomial",
    "NegativeBinomial",
    "RGBLogisticMixture",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
    "diagonal_normal",
    "soft_clip",
]
