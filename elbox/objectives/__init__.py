"""Objectives: functions of `Terms` that know no network; each returns [B] nats, a bound or a penalised bound."""

from elbox.objectives.base import Objective
from elbox.objectives.ciwae import CIWAE
from elbox.objectives.cubo import CUBO
from elbox.objectives.distortion import Distortion
from elbox.objectives.elbo import ELBO
from elbox.objectives.gan import GAN
from elbox.objectives.miwae import MIWAE
from elbox.objectives.penalized import Penalized, Penalty
from elbox.objectives.penalties import (
    MMD,
    MSSSIM,
    AdversarialCodes,
    AdversarialTotalCorrelation,
    CodeNorm,
    Commitment,
    Contractive,
    DecoderSlope,
    InferredPrior,
    MutualInformation,
    Perceptual,
    SlicedWasserstein,
    TotalCorrelation,
    WeightNorm,
)
from elbox.objectives.rate import Rate
from elbox.objectives.renyi import IWAE, Renyi
from elbox.objectives.split import PIWAE, Split
from elbox.objectives.tvo import TVO
from elbox.objectives.vae_gan import VAEGAN

__all__ = [
    "AdversarialCodes",
    "AdversarialTotalCorrelation",
    "CIWAE",
    "CUBO",
    "CodeNorm",
    "Commitment",
    "Contractive",
    "DecoderSlope",
    "Distortion",
    "ELBO",
    "GAN",
    "IWAE",
    "InferredPrior",
    "MIWAE",
    "MMD",
    "MSSSIM",
    "MutualInformation",
    "Objective",
    "PIWAE",
    "Penalized",
    "Penalty",
    "Perceptual",
    "Rate",
    "Renyi",
    "SlicedWasserstein",
    "Split",
    "TVO",
    "TotalCorrelation",
    "VAEGAN",
    "WeightNorm",
]
