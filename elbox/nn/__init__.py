"""Networks: plain maps from tensors to tensors, with no probability inside."""

from elbox.nn.angles import Angles
from elbox.nn.bayesian import Bayesian, BayesianLinear
from elbox.nn.causal_transformer import CausalTransformer
from elbox.nn.codebook import Codebook
from elbox.nn.columns import Columns
from elbox.nn.conv import ConvDecoder, ConvEncoder
from elbox.nn.feature_map import MapDecoder, MapEncoder
from elbox.nn.finite_scalar import FiniteScalar
from elbox.nn.gated import GatedMLP
from elbox.nn.log_counts import LogCounts
from elbox.nn.log_total import LogTotal
from elbox.nn.mlp import MLP
from elbox.nn.pixel_cnn import PixelCNN
from elbox.nn.poincare import Front, Gyroplanes, PoincareBall
from elbox.nn.proportions import Proportions
from elbox.nn.quantizer import Quantizer
from elbox.nn.radial_metric import RadialMetric
from elbox.nn.standardize import Standardize
from elbox.nn.summed import Summed
from elbox.nn.tied import Layer, Transposed

__all__ = [
    "Angles",
    "Bayesian",
    "BayesianLinear",
    "CausalTransformer",
    "Codebook",
    "Columns",
    "ConvDecoder",
    "ConvEncoder",
    "FiniteScalar",
    "Front",
    "GatedMLP",
    "Gyroplanes",
    "Layer",
    "LogCounts",
    "LogTotal",
    "MLP",
    "MapDecoder",
    "MapEncoder",
    "PixelCNN",
    "PoincareBall",
    "Proportions",
    "Quantizer",
    "RadialMetric",
    "Standardize",
    "Summed",
    "Transposed",
]
