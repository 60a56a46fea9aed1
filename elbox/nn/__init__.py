"""Networks: plain maps from tensors to tensors, with no probability inside."""

from elbox.nn.angles import Angles
from elbox.nn.bayesian import Bayesian, BayesianLinear
from elbox.nn.conv import ConvDecoder, ConvEncoder
from elbox.nn.log_counts import LogCounts
from elbox.nn.log_total import LogTotal
from elbox.nn.mlp import MLP
from elbox.nn.poincare import Front, Gyroplanes, PoincareBall
from elbox.nn.standardize import Standardize
from elbox.nn.tied import Layer, Transposed

__all__ = [
    "Angles",
    "Bayesian",
    "BayesianLinear",
    "ConvDecoder",
    "ConvEncoder",
    "Front",
    "Gyroplanes",
    "Layer",
    "LogCounts",
    "LogTotal",
    "MLP",
    "PoincareBall",
    "Standardize",
    "Transposed",
]
