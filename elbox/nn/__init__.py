"""Networks: plain maps from tensors to tensors, with no probability inside."""

from elbox.nn.conv import ConvDecoder, ConvEncoder
from elbox.nn.mlp import MLP
from elbox.nn.standardize import Standardize
from elbox.nn.tied import Layer, Transposed

__all__ = ["MLP", "ConvDecoder", "ConvEncoder", "Layer", "Standardize", "Transposed"]
