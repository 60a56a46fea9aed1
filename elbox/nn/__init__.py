"""Networks: plain maps from tensors to tensors, with no probability inside but that of random weights."""

from elbox.nn.bayesian import Bayesian, BayesianLinear
from elbox.nn.conv import ConvDecoder, ConvEncoder
from elbox.nn.mlp import MLP
from elbox.nn.standardize import Standardize

__all__ = ["MLP", "Bayesian", "BayesianLinear", "ConvDecoder", "ConvEncoder", "Standardize"]
