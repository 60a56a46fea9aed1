"""Networks: plain maps from tensors to tensors, with no probability inside."""

from elbox.nn.angles import Angles
from elbox.nn.bayesian import Bayesian, BayesianLinear
from elbox.nn.columns import Columns
from elbox.nn.conv import ConvDecoder, ConvEncoder
from elbox.nn.gated import GatedMLP
from elbox.nn.log_counts import LogCounts
from elbox.nn.log_total import LogTotal
from elbox.nn.mlp import MLP
from elbox.nn.proportions import Proportions
from elbox.nn.radial_metric import RadialMetric
from elbox.nn.standardize import Standardize
from elbox.nn.tied import Layer, Transposed

__all__ = [
    "Angles",
    "Bayesian",
    "BayesianLinear",
    "Columns",
    "ConvDecoder",
    "ConvEncoder",
    "GatedMLP",
    "Layer",
    "LogCounts",
    "LogTotal",
    "MLP",
    "Proportions",
    "RadialMetric",
    "Standardize",
    "Transposed",
]
