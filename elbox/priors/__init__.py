"""Priors p(z), or p(z|c) for conditional models: modules whose `forward(c)` returns a distribution over z.

Any `zuko.lazy.LazyDistribution` (a flow, a mixture) is a prior as it stands.
"""

from elbox.priors.ar1 import AR1
from elbox.priors.bernoulli_prior import BernoulliPrior
from elbox.priors.categorical_prior import CategoricalPrior
from elbox.priors.code_prior import CodePrior
from elbox.priors.diffusion import Diffusion
from elbox.priors.exemplar_prior import ExemplarPrior
from elbox.priors.factorized import Factorized
from elbox.priors.fitted_mixture import FittedMixture
from elbox.priors.flow import Flow
from elbox.priors.learned_normal import LearnedNormal
from elbox.priors.logistic_normal import LogisticNormal
from elbox.priors.normal_mixture import NormalMixture
from elbox.priors.riemannian_normal import RiemannianNormal
from elbox.priors.second_stage import SecondStage
from elbox.priors.spherical_uniform import SphericalUniform
from elbox.priors.spike_slab import SpikeSlab
from elbox.priors.staged import Staged
from elbox.priors.standard_normal import StandardNormal
from elbox.priors.standardized import Standardized
from elbox.priors.vamp_prior import VampPrior
from elbox.priors.wrapped_normal import WrappedNormal

__all__ = [
    "AR1",
    "BernoulliPrior",
    "CategoricalPrior",
    "CodePrior",
    "Diffusion",
    "ExemplarPrior",
    "Factorized",
    "FittedMixture",
    "Flow",
    "LearnedNormal",
    "LogisticNormal",
    "NormalMixture",
    "RiemannianNormal",
    "SecondStage",
    "SphericalUniform",
    "SpikeSlab",
    "Staged",
    "StandardNormal",
    "Standardized",
    "VampPrior",
    "WrappedNormal",
]
