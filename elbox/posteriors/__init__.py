"""Posteriors q(z|x): modules whose `forward(x)`, or `forward((x, c))` with a condition, returns a distribution over z.

Any `zuko.lazy.LazyDistribution` with x as its context (a conditional flow) is a posterior as it stands.
"""

from elbox.posteriors.auxiliary import Auxiliary
from elbox.posteriors.batch_normalized import BatchNormalized
from elbox.posteriors.bernoulli_code import BernoulliCode
from elbox.posteriors.categorical_code import CategoricalCode
from elbox.posteriors.centre import Centre
from elbox.posteriors.committed_normal import CommittedNormal
from elbox.posteriors.corrupted import Corrupted
from elbox.posteriors.deterministic import Deterministic
from elbox.posteriors.diagonal_normal import DiagonalNormal
from elbox.posteriors.experts import MixtureOfExperts, ProductOfExperts
from elbox.posteriors.factorized import Factorized
from elbox.posteriors.flow import Flow
from elbox.posteriors.from_prior import FromPrior
from elbox.posteriors.full_normal import FullNormal
from elbox.posteriors.full_student_t import FullStudentT
from elbox.posteriors.hamiltonian import Hamiltonian
from elbox.posteriors.local_normal import LocalNormal
from elbox.posteriors.low_rank_normal import LowRankNormal
from elbox.posteriors.normal_mixture import NormalMixture
from elbox.posteriors.power_spherical import PowerSpherical
from elbox.posteriors.quantized_code import QuantizedCode
from elbox.posteriors.refined import Refined
from elbox.posteriors.riemannian_hamiltonian import RiemannianHamiltonian
from elbox.posteriors.riemannian_normal import RiemannianNormal
from elbox.posteriors.spike_slab import SpikeSlab
from elbox.posteriors.von_mises_fisher import VonMisesFisher
from elbox.posteriors.wrapped_normal import WrappedNormal

__all__ = [
    "Auxiliary",
    "BatchNormalized",
    "BernoulliCode",
    "CategoricalCode",
    "Centre",
    "CommittedNormal",
    "Corrupted",
    "Deterministic",
    "DiagonalNormal",
    "Factorized",
    "Flow",
    "FromPrior",
    "FullNormal",
    "FullStudentT",
    "Hamiltonian",
    "LocalNormal",
    "LowRankNormal",
    "MixtureOfExperts",
    "NormalMixture",
    "PowerSpherical",
    "ProductOfExperts",
    "QuantizedCode",
    "Refined",
    "RiemannianHamiltonian",
    "RiemannianNormal",
    "SpikeSlab",
    "VonMisesFisher",
    "WrappedNormal",
]
