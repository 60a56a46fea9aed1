"""A prior over the codes of a codebook: uniform, learned, or autoregressive."""

from __future__ import annotations

__all__ = ["CodePrior"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import Tokens
from elbox.errors import SettingError, check_whole
from elbox.nn.quantizer import Quantizer
from elbox.parts import part


@part
class CodePrior(LazyDistribution):
    r"""p(z) = Π_t p(c_t | c_1 … c_{t−1}) over the codes c of P positions and L levels, z = e(c); uniform by default.

    Samples are exact, one token after the other. The codes are looked up in the codebook, which no gradient reaches:
    the prior may be trained with the model, or after it, on codes of the data.

    Reference: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, §3.3: uniform
    while the rest is trained, then autoregressive.

    Arguments:
        codebook: `nn.Codebook` or `nn.FiniteScalar`, the one that the posterior has.
        positions: Number P of positions.
        net: Causal network codes [..., P, L] ↦ logits [..., P, L, K], such as `nn.PixelCNN` or `nn.CausalTransformer`;
            None for independent codes.
        learned: Without a network, learn the probabilities of each position and level, from the uniform prior on.

    Shapes:
        forward(c) → distribution over [L·P·d]; a condition c is ignored.

    Raises:
        SettingError: if it is to be learned and to have a network.

    Example:
        >>> from elbox.nn import Codebook, PixelCNN
        >>> codebook = Codebook(size=8, width=3)
        >>> CodePrior(codebook, 6, PixelCNN((2, 3), 8, hidden=4))().sample((5,)).shape
        torch.Size([5, 18])
    """

    logits: Tensor

    def __init__(
        self, codebook: Quantizer, positions: int, net: nn.Module | None = None, *, learned: bool = False
    ) -> None:
        super().__init__()
        check_whole("positions", positions)
        if learned and net is not None:
            raise SettingError("got learned=True with a network; expected one of them: a network is learned anyway")
        self.codebook, self.positions, self.net = codebook, positions, net
        if learned:
            self.logits = nn.Parameter(torch.zeros(positions, codebook.depth, codebook.size))
        elif net is None:
            logits = torch.zeros(()).expand(positions, codebook.depth, codebook.size)
            self.register_buffer("logits", logits.clone(), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        return Tokens(self.codebook, self.positions, self.logits if self.net is None else self.net)
