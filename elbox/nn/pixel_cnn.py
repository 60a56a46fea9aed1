"""A convolutional network that sees, at each position of a map of codes, those before it alone."""

from __future__ import annotations

__all__ = ["PixelCNN"]

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elbox.errors import ShapeError, check_whole
from elbox.parts import part


class _Gated(nn.Module):
    """A vertical stack, which sees the rows above, and a horizontal one, which sees the same row to the left."""

    def __init__(self, hidden: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.down = nn.Conv2d(hidden, 2 * hidden, (reach + 1, 2 * reach + 1))
        self.right = nn.Conv2d(hidden, 2 * hidden, (1, reach + 1))
        self.link, self.out = nn.Conv2d(2 * hidden, 2 * hidden, 1), nn.Conv2d(hidden, hidden, 1)

    def forward(self, above: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        down = self.down(F.pad(above, (self.reach, self.reach, self.reach, 0)))
        right = self.right(F.pad(left, (self.reach, 0))) + self.link(down)
        return above + _gate(down), left + self.out(_gate(right))


@part
class PixelCNN(nn.Module):
    r"""Logits of c_t given c_1 … c_{t−1}: causal convolutions over a map of codes, row by row, with gates tanh ⊙ σ.

    Two stacks of convolutions, of the rows above and of the row itself, leave no blind spot. Of several levels at one
    position each sees those before it.

    Reference: van den Oord et al. (2016), *Conditional image generation with PixelCNN decoders*, §2.1 and 2.2; van den
    Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, §3.3 (as a prior over codes).

    Arguments:
        map: Height and width of the map; P positions.
        size: Number K of codes.
        depth: Number L of levels.
        hidden: Number of feature maps.
        layers: Number of layers.
        reach: How many positions each layer looks further up, and to each side.

    Shapes:
        codes [..., P, L] → logits [..., P, L, K].

    Raises:
        SettingError: if a number is below 1.
        ShapeError: if the codes are not of that shape.

    Example:
        >>> PixelCNN((7, 6), size=10, hidden=8)(torch.zeros(2, 42, 1, dtype=torch.long)).shape
        torch.Size([2, 42, 1, 10])
    """

    def __init__(
        self, map: Sequence[int], size: int, depth: int = 1, hidden: int = 64, layers: int = 5, reach: int = 2
    ) -> None:
        super().__init__()
        for name, number in (("depth", depth), ("hidden", hidden), ("layers", layers), ("reach", reach)):
            check_whole(name, number)
        self.map, self.depth = (int(map[0]), int(map[1])), depth
        self.embeddings = nn.ModuleList(nn.Embedding(size, hidden) for _ in range(depth))
        self.place = nn.Parameter(torch.zeros(hidden, *self.map))
        self.layers = nn.ModuleList(_Gated(hidden, reach) for _ in range(layers))
        self.before = nn.ModuleList(nn.Embedding(size, hidden) for _ in range(depth - 1))
        self.heads = nn.ModuleList(nn.Linear(hidden, size) for _ in range(depth))

    def forward(self, codes: Tensor) -> Tensor:
        check_codes(codes, self.map[0] * self.map[1], self.depth)
        flat = codes.reshape(-1, *self.map, self.depth)
        h = torch.stack([e(flat[..., level]) for level, e in enumerate(self.embeddings)]).sum(0).movedim(-1, 1)
        above = F.pad(h, (0, 0, 1, 0))[..., :-1, :]  # moved on by one, so that a layer may see its own position
        left = F.pad(h, (1, 0))[..., :-1] + self.place
        for layer in self.layers:
            above, left = layer(above, left)
        h, logits = left.movedim(1, -1), []
        for level, head in enumerate(self.heads):
            logits.append(head(F.silu(h)))
            if level + 1 < self.depth:
                h = h + self.before[level](flat[..., level])
        return torch.stack(logits, -2).reshape(*codes.shape, -1)


def _gate(h: Tensor) -> Tensor:
    a, b = h.chunk(2, 1)
    return torch.tanh(a) * torch.sigmoid(b)


def check_codes(codes: Tensor, positions: int, depth: int) -> None:
    """Refuse codes of another shape than [..., P, L]."""
    if codes.shape[-2:] != (positions, depth):
        raise ShapeError(
            f"got codes of shape {tuple(codes.shape)}; expected their last dimensions to be {(positions, depth)}: make "
            "the network for the positions and the depth of the codebook"
        )
