"""Priors p(z), or p(z|c) for conditional models: modules whose `forward(c)` returns a distribution over z.

Any `zuko.lazy.LazyDistribution` (a flow, a mixture) is a prior as it stands.
"""

from elbox.priors.fitted_mixture import FittedMixture
from elbox.priors.learned_normal import LearnedNormal
from elbox.priors.normal_mixture import NormalMixture
from elbox.priors.standard_normal import StandardNormal

__all__ = ["FittedMixture", "LearnedNormal", "NormalMixture", "StandardNormal"]
