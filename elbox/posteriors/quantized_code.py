"""A posterior that puts all its mass on one code of a codebook."""

from __future__ import annotations

__all__ = ["QuantizedCode"]

from typing import Any

from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import Quantized
from elbox.errors import ShapeError
from elbox.nn.quantizer import Quantizer
from elbox.parts import part


@part
class QuantizedCode(LazyDistribution):
    r"""q(z|x) = 1 at z = e(c(net(x))), 0 elsewhere: P vectors net(x)_p, each quantised to one of K codes per level.

    With a prior over the same codes the rate is −log p(z), log K for each code where it is uniform, and the ELBO is a
    bound on log p(x). It is trained straight through (`StraightThrough`), vectors of a `Codebook` with the penalty
    `Commitment`.

    Reference: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, eq. 1 and 2;
    Zeghidour et al. (2021), *SoundStream*, §III-C (several levels); Mentzer et al. (2023), *Finite scalar
    quantization* (`FiniteScalar`).

    Arguments:
        net: Network with output shape `QuantizedCode.output_shape(positions, codebook)`: (P, d).
        codebook: `nn.Codebook` or `nn.FiniteScalar`, the one that the prior has.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [L·P·d], with `.codes` [B, P, L].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP, Codebook
        >>> codebook = Codebook(size=8, width=3)
        >>> q = QuantizedCode(MLP(5, [6], QuantizedCode.output_shape(2, codebook)), codebook)(torch.zeros(4, 5))
        >>> q.codes.shape, q.mean.shape
        (torch.Size([4, 2, 1]), torch.Size([4, 6]))
    """

    def __init__(self, net: nn.Module, codebook: Quantizer) -> None:
        super().__init__()
        self.net, self.codebook = net, codebook

    @staticmethod
    def output_shape(positions: int, codebook: Quantizer) -> tuple[int, ...]:
        """The shape that the network's output must have: (P, d)."""
        return (positions, codebook.width)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        if h.dim() < 3 or h.shape[-1] != self.codebook.width:
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for QuantizedCode; expected its last dimensions to be "
                f"(positions, {self.codebook.width}): make the network with QuantizedCode.output_shape(positions, "
                "codebook)"
            )
        encoded, codes = self.codebook.quantize(h)
        return Quantized(encoded, self.codebook(codes), codes, self.codebook)
