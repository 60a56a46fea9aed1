"""Objectives: functions of `Terms` that know no network; each returns [B] nats, a bound or a penalised bound."""

from elbox.objectives.base import Objective
from elbox.objectives.distortion import Distortion
from elbox.objectives.elbo import ELBO
from elbox.objectives.penalized import Penalized, Penalty
from elbox.objectives.penalties import (
    MMD,
    AdversarialTotalCorrelation,
    InferredPrior,
    MutualInformation,
    SlicedWasserstein,
    TotalCorrelation,
)
from elbox.objectives.renyi import IWAE, Renyi

__all__ = [
    "AdversarialTotalCorrelation",
    "Distortion",
    "ELBO",
    "IWAE",
    "InferredPrior",
    "MMD",
    "MutualInformation",
    "Objective",
    "Penalized",
    "Penalty",
    "Renyi",
    "SlicedWasserstein",
    "TotalCorrelation",
]
