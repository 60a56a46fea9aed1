"""Objectives: functions of `Terms` that know no network; each returns [B] nats, a bound or a penalised bound."""

from elbox.objectives.base import Objective
from elbox.objectives.distortion import Distortion
from elbox.objectives.elbo import ELBO
from elbox.objectives.gan import GAN
from elbox.objectives.penalized import Penalized, Penalty
from elbox.objectives.penalties import (
    MSSSIM,
    AdversarialCodes,
    CodeNorm,
    Contractive,
    DecoderSlope,
    Perceptual,
    WeightNorm,
)
from elbox.objectives.rate import Rate
from elbox.objectives.renyi import IWAE, Renyi
from elbox.objectives.vae_gan import VAEGAN

__all__ = [
    "AdversarialCodes",
    "CodeNorm",
    "Contractive",
    "DecoderSlope",
    "Distortion",
    "ELBO",
    "GAN",
    "IWAE",
    "MSSSIM",
    "Objective",
    "Penalized",
    "Penalty",
    "Perceptual",
    "Rate",
    "Renyi",
    "VAEGAN",
    "WeightNorm",
]
