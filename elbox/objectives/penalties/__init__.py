"""Penalties: functions of `Terms` that `Penalized` subtracts from an objective; one idea a file."""

from elbox.objectives.penalties.adversarial_codes import AdversarialCodes
from elbox.objectives.penalties.adversarial_total_correlation import AdversarialTotalCorrelation
from elbox.objectives.penalties.commitment import Commitment
from elbox.objectives.penalties.inferred_prior import InferredPrior
from elbox.objectives.penalties.mmd import MMD
from elbox.objectives.penalties.ms_ssim import MSSSIM
from elbox.objectives.penalties.mutual_information import MutualInformation
from elbox.objectives.penalties.norms import CodeNorm, WeightNorm
from elbox.objectives.penalties.perceptual import Perceptual
from elbox.objectives.penalties.sliced_wasserstein import SlicedWasserstein
from elbox.objectives.penalties.slopes import Contractive, DecoderSlope
from elbox.objectives.penalties.total_correlation import TotalCorrelation

__all__ = [
    "AdversarialCodes",
    "AdversarialTotalCorrelation",
    "CodeNorm",
    "Commitment",
    "Contractive",
    "DecoderSlope",
    "InferredPrior",
    "MMD",
    "MSSSIM",
    "MutualInformation",
    "Perceptual",
    "SlicedWasserstein",
    "TotalCorrelation",
    "WeightNorm",
]
