"""Objectives: functions of `Terms` that know no network; each returns [B] nats, a bound or a penalised bound."""

from elbox.objectives.base import Objective
from elbox.objectives.ciwae import CIWAE
from elbox.objectives.cubo import CUBO
from elbox.objectives.distortion import Distortion
from elbox.objectives.elbo import ELBO
from elbox.objectives.miwae import MIWAE
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
from elbox.objectives.split import PIWAE, Split
from elbox.objectives.tvo import TVO

__all__ = [
    "AdversarialTotalCorrelation",
    "CIWAE",
    "CUBO",
    "Distortion",
    "ELBO",
    "IWAE",
    "InferredPrior",
    "MIWAE",
    "MMD",
    "MutualInformation",
    "Objective",
    "PIWAE",
    "Penalized",
    "Penalty",
    "Renyi",
    "SlicedWasserstein",
    "Split",
    "TVO",
    "TotalCorrelation",
]
