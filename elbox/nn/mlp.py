"""The multi-layer perceptron, from events of any shape to events of any shape."""

from __future__ import annotations

__all__ = ["MLP"]

from collections.abc import Sequence
from math import prod

import torch
import zuko
from torch import Tensor, nn

from elbox.errors import ShapeError
from elbox.nn.standardize import Standardize
from elbox.parts import part


@part
class MLP(nn.Module):
    r"""h_0 = x, h_l = f(W_l h_{l−1} + b_l), output W h_L + b, reshaped to the output's shape.

    Weights start as Glorot & Bengio (2010), eq. 16; biases at 0. Without hidden layers it is an affine map.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, appendix C.

    Arguments:
        inputs: Shape of one input, an int for a vector.
        hidden: Widths of the hidden layers.
        outputs: Shape of one output; () for a scalar.
        activation: Class of the non-linearity f.
        context: Number of features of a condition c; the input is then a pair (x, c).
        offset: Subtracted from the input, one number or one for each dimension (`DataSpec.offset`).
        scale: Divides the input, likewise.

    Shapes:
        input [..., *inputs] (or a pair with c [..., context]) → output [..., *outputs].

    Raises:
        ShapeError: if the input's last dimensions differ from `inputs`.

    Example:
        >>> MLP((1, 8, 8), [32], (2, 5))(torch.zeros(7, 1, 8, 8)).shape
        torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        inputs: int | Sequence[int],
        hidden: Sequence[int],
        outputs: int | Sequence[int],
        activation: type[nn.Module] = nn.ReLU,
        context: int = 0,
        offset: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
    ) -> None:
        super().__init__()
        self.inputs = (inputs,) if isinstance(inputs, int) else tuple(inputs)
        self.outputs = (outputs,) if isinstance(outputs, int) else tuple(outputs)
        plain = isinstance(offset, float | int) and offset == 0 and isinstance(scale, float | int) and scale == 1
        self.standardize = None if plain else Standardize(self.inputs, offset, scale)
        self.net = zuko.nn.MLP(prod(self.inputs) + context, prod(self.outputs), hidden, activation)
        for layer in self.net:
            if hasattr(layer, "weight"):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        x, *c = x if isinstance(x, tuple) else (x,)
        if x.shape[x.dim() - len(self.inputs) :] != self.inputs:
            raise ShapeError(
                f"got an input of shape {tuple(x.shape)}; expected its last dimensions to be {self.inputs}: "
                "reshape the data, or make the network for their shape"
            )
        x = x if self.standardize is None else self.standardize(x)
        h = self.net(torch.cat([x.flatten(-len(self.inputs)), *c], -1))
        return h.unflatten(-1, self.outputs) if self.outputs else h.squeeze(-1)
