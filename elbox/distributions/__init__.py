"""Distributions and Kullback–Leibler divergences that torch.distributions and zuko lack."""

from elbox.distributions import kl as kl  # registers its divergences with torch
from elbox.distributions.bits import Bits
from elbox.distributions.code import Code
from elbox.distributions.delta import Delta
from elbox.distributions.discretized_logistic import DiscretizedLogistic
from elbox.distributions.normal import diagonal_normal, soft_clip
from elbox.distributions.one_hots import OneHots

__all__ = ["Bits", "Code", "Delta", "DiscretizedLogistic", "OneHots", "diagonal_normal", "soft_clip"]
