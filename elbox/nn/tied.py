"""One layer, and its transpose with the same weights: the networks of a shallow autoencoder."""

from __future__ import annotations

__all__ = ["Layer", "Transposed"]

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elbox.errors import ShapeError
from elbox.nn.standardize import Standardize
from elbox.parts import part


@part
class Layer(nn.Module):
    r"""h = f(W (x − offset)/scale + b), with the non-linearity at the output: a code of bounded units.

    Weights start as Glorot & Bengio (2010), eq. 16; biases at 0.

    Reference: Rifai et al. (2011), *Contractive auto-encoders: explicit invariance during feature extraction*.

    Arguments:
        inputs: Shape of one input.
        outputs: Number of outputs.
        activation: Class of the non-linearity f.
        offset: Subtracted from the input, one number or one for each dimension (`DataSpec.offset`).
        scale: Divides the input, likewise.

    Shapes:
        input [..., *inputs] → output [..., outputs].

    Raises:
        ShapeError: if the input's last dimensions differ from `inputs`.

    Example:
        >>> Layer((1, 8, 8), 5)(torch.zeros(7, 1, 8, 8)).shape
        torch.Size([7, 5])
    """

    def __init__(
        self,
        inputs: int | Sequence[int],
        outputs: int,
        activation: type[nn.Module] = nn.Sigmoid,
        offset: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
    ) -> None:
        super().__init__()
        self.inputs = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        self.standardize, self.activation = Standardize(self.inputs, offset, scale), activation()
        self.affine = nn.Linear(prod(self.inputs), outputs)
        nn.init.xavier_uniform_(self.affine.weight)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[x.dim() - len(self.inputs) :] != self.inputs:
            raise ShapeError(
                f"got an input of shape {tuple(x.shape)}; expected its last dimensions to be {self.inputs}: "
                "reshape the data, or make the network for their shape"
            )
        return self.activation(self.affine(self.standardize(x).flatten(-len(self.inputs))))


@part
class Transposed(nn.Module):
    r"""Wᵀ h + c with the weights W of a `Layer`, of the shape of its input: a decoder with tied weights.

    W is one parameter in two places, trained by both.

    Reference: Rifai et al. (2011), *Contractive auto-encoders: explicit invariance during feature extraction*.

    Arguments:
        layer: The layer, the same object.

    Shapes:
        input [..., outputs of the layer] → output [..., *inputs of the layer].

    Example:
        >>> layer = Layer(3, 2)
        >>> Transposed(layer)(torch.eye(2)).equal(layer.affine.weight)
        True
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer
        self.bias = nn.Parameter(torch.zeros(prod(layer.inputs)))

    def forward(self, h: Tensor) -> Tensor:
        return F.linear(h, self.layer.affine.weight.T, self.bias).unflatten(-1, self.layer.inputs)
