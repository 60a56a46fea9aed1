"""Posteriors q(z|x): modules whose `forward(x)`, or `forward((x, c))` with a condition, returns a distribution over z.

Any `zuko.lazy.LazyDistribution` with x as its context (a conditional flow) is a posterior as it stands.
"""

from elbox.posteriors.bernoulli_code import BernoulliCode
from elbox.posteriors.categorical_code import CategoricalCode
from elbox.posteriors.corrupted import Corrupted
from elbox.posteriors.deterministic import Deterministic
from elbox.posteriors.diagonal_normal import DiagonalNormal
from elbox.posteriors.factorized import Factorized
from elbox.posteriors.from_prior import FromPrior
from elbox.posteriors.full_normal import FullNormal
from elbox.posteriors.full_student_t import FullStudentT
from elbox.posteriors.local_normal import LocalNormal
from elbox.posteriors.power_spherical import PowerSpherical
from elbox.posteriors.riemannian_normal import RiemannianNormal
from elbox.posteriors.von_mises_fisher import VonMisesFisher
from elbox.posteriors.wrapped_normal import WrappedNormal

__all__ = [
    "BernoulliCode",
    "CategoricalCode",
    "Corrupted",
    "Deterministic",
    "DiagonalNormal",
    "Factorized",
    "FromPrior",
    "FullNormal",
    "FullStudentT",
    "LocalNormal",
    "PowerSpherical",
    "RiemannianNormal",
    "VonMisesFisher",
    "WrappedNormal",
]
