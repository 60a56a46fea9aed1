"""Penalties: functions of `Terms` that `Penalized` subtracts from an objective; one idea a file."""

from elbox.objectives.penalties.adversarial_codes import AdversarialCodes
from elbox.objectives.penalties.ms_ssim import MSSSIM
from elbox.objectives.penalties.norms import CodeNorm, WeightNorm
from elbox.objectives.penalties.perceptual import Perceptual
from elbox.objectives.penalties.slopes import Contractive, DecoderSlope

__all__ = [
    "AdversarialCodes",
    "CodeNorm",
    "Contractive",
    "DecoderSlope",
    "MSSSIM",
    "Perceptual",
    "WeightNorm",
]
