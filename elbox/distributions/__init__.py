"""Distributions and Kullback–Leibler divergences that torch.distributions and zuko lack."""

from elbox.distributions import kl as kl  # registers its divergences with torch
from elbox.distributions.bits import Bits
from elbox.distributions.delta import Delta
from elbox.distributions.discretized_logistic import DiscretizedLogistic
from elbox.distributions.normal import diagonal_normal, soft_clip

__all__ = ["Bits", "Delta", "DiscretizedLogistic", "diagonal_normal", "soft_clip"]
