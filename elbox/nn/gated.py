"""The gated multi-layer perceptron."""

from __future__ import annotations

__all__ = ["GatedMLP"]

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from elbox.nn.mlp import MLP
from elbox.parts import part


@part
class GatedMLP(nn.Module):
    r"""h_l = (W_l h_{l−1} + b_l) ⊙ sigmoid(V_l h_{l−1} + c_l): hidden layers with gates in place of a non-linearity.

    Weights start as those of `MLP`; the output is affine.

    Reference: Dauphin et al. (2017), *Language modeling with gated convolutional networks*, eq. 1; Tomczak & Welling
    (2018), *VAE with a VampPrior* (dense layers of this kind).

    Arguments:
        inputs: Shape of one input, an int for a vector.
        hidden: Widths of the hidden layers.
        outputs: Shape of one output; () for a scalar.
        context: Number of features of a condition c; the input is then a pair (x, c).
        offset: Subtracted from the input, one number or one for each dimension (`DataSpec.offset`).
        scale: Divides the input, likewise.

    Shapes:
        input [..., *inputs] (or a pair with c [..., context]) → output [..., *outputs].

    Raises:
        ShapeError: if the input's last dimensions differ from `inputs`, or the condition's from `context`.

    Example:
        >>> import torch
        >>> GatedMLP((1, 8, 8), [32, 32], (2, 5))(torch.zeros(7, 1, 8, 8)).shape
        torch.Size([7, 2, 5])
    """

    def __init__(
        self,
        inputs: int | Sequence[int],
        hidden: Sequence[int],
        outputs: int | Sequence[int],
        context: int = 0,
        offset: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
    ) -> None:
        super().__init__()
        sizes = [*(2 * width for width in hidden), outputs]  # of each affine map: values, then gates
        first = MLP(inputs, [], sizes[0], context=context, offset=offset, scale=scale)
        others = [MLP(width, [], size) for width, size in zip(hidden, sizes[1:], strict=True)]
        self.layers = nn.ModuleList([first, *others])
        self.outputs = (outputs,) if isinstance(outputs, int) else tuple(outputs)

    def forward(self, x: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        h: Tensor = self.layers[0](x)
        for layer in self.layers[1:]:
            h = layer(F.glu(h, -1))
        return h
