"""Penalties: functions of `Terms` that `Penalized` subtracts from an objective; one idea a file."""

from elbox.objectives.penalties.adversarial_total_correlation import AdversarialTotalCorrelation
from elbox.objectives.penalties.inferred_prior import InferredPrior
from elbox.objectives.penalties.mmd import MMD
from elbox.objectives.penalties.mutual_information import MutualInformation
from elbox.objectives.penalties.sliced_wasserstein import SlicedWasserstein
from elbox.objectives.penalties.total_correlation import TotalCorrelation

__all__ = [
    "AdversarialTotalCorrelation",
    "InferredPrior",
    "MMD",
    "MutualInformation",
    "SlicedWasserstein",
    "TotalCorrelation",
]
