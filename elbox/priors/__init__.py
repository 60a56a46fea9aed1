"""Priors p(z), or p(z|c) for conditional models: modules whose `forward(c)` returns a distribution over z.

Any `zuko.lazy.LazyDistribution` (a flow, a mixture) is a prior as it stands.
"""

from elbox.priors.bernoulli_prior import BernoulliPrior
from elbox.priors.categorical_prior import CategoricalPrior
from elbox.priors.factorized import Factorized
from elbox.priors.fitted_mixture import FittedMixture
from elbox.priors.learned_normal import LearnedNormal
from elbox.priors.normal_mixture import NormalMixture
from elbox.priors.riemannian_normal import RiemannianNormal
from elbox.priors.spherical_uniform import SphericalUniform
from elbox.priors.standard_normal import StandardNormal
from elbox.priors.wrapped_normal import WrappedNormal

__all__ = [
    "BernoulliPrior",
    "CategoricalPrior",
    "Factorized",
    "FittedMixture",
    "LearnedNormal",
    "NormalMixture",
    "RiemannianNormal",
    "SphericalUniform",
    "StandardNormal",
    "WrappedNormal",
]
