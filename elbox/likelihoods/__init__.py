"""Likelihoods p(x|z): modules whose `forward(z)`, or `forward((z, c))` with a condition, returns a distribution over x.

Every class here has `kinds`, the kinds of data it can describe, `output_shape(spec)`, the shape that its network must
put out, and `for_data(net, spec)`, which makes it for given data.
"""

from elbox.likelihoods.bernoulli import Bernoulli
from elbox.likelihoods.beta import Beta
from elbox.likelihoods.binomial import Binomial
from elbox.likelihoods.categorical import Categorical
from elbox.likelihoods.complex_gaussian import ComplexGaussian
from elbox.likelihoods.continuous_bernoulli import ContinuousBernoulli
from elbox.likelihoods.discretized_logistic import DiscretizedLogistic
from elbox.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture
from elbox.likelihoods.gaussian import FixedGaussian, Gaussian, PredictedGaussian
from elbox.likelihoods.laplace import Laplace
from elbox.likelihoods.log_normal import LogNormal
from elbox.likelihoods.multinomial import Multinomial
from elbox.likelihoods.negative_binomial import NegativeBinomial, ZeroInflatedNegativeBinomial
from elbox.likelihoods.optimal_gaussian import OptimalGaussian
from elbox.likelihoods.poisson import Poisson
from elbox.likelihoods.student_t import StudentT

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "ComplexGaussian",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "FixedGaussian",
    "Gaussian",
    "Laplace",
    "LogNormal",
    "Multinomial",
    "NegativeBinomial",
    "OptimalGaussian",
    "Poisson",
    "PredictedGaussian",
    "StudentT",
    "ZeroInflatedNegativeBinomial",
]
