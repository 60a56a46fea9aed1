"""Likelihoods p(x|z): modules whose `forward(z)`, or `forward((z, c))` with a condition, returns a distribution over x.

Every class here has `kinds`, the kinds of data it can describe, `output_shape(spec)`, the shape that its network must
put out, and `for_data(net, spec)`, which makes it for given data.
"""

from elbox.likelihoods.bernoulli import Bernoulli
from elbox.likelihoods.categorical import Categorical
from elbox.likelihoods.discretized_logistic import DiscretizedLogistic
from elbox.likelihoods.gaussian import FixedGaussian, Gaussian, PredictedGaussian
from elbox.likelihoods.poisson import Poisson

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedLogistic",
    "FixedGaussian",
    "Gaussian",
    "Poisson",
    "PredictedGaussian",
]
