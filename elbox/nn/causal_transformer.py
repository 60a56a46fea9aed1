"""A transformer that sees, at each token, those before it alone."""

from __future__ import annotations

__all__ = ["CausalTransformer"]

import torch
from torch import Tensor, nn

from elbox.errors import SettingError, check_whole
from elbox.nn.pixel_cnn import check_codes
from elbox.parts import part


@part
class CausalTransformer(nn.Module):
    r"""Logits of c_t given c_1 … c_{t−1}: self-attention over the tokens before, position by position, level by level.

    Reference: Vaswani et al. (2017), *Attention is all you need*, §3; Xiong et al. (2020), *On layer normalization in
    the transformer architecture* (normalisation before each sublayer).

    Arguments:
        positions: Number P of positions.
        size: Number K of codes.
        depth: Number L of levels.
        width: Dimension of the features, a multiple of `heads`.
        heads: Number of heads.
        layers: Number of layers.

    Shapes:
        codes [..., P, L] → logits [..., P, L, K].

    Raises:
        SettingError: if a number is below 1, or `width` is no multiple of `heads`.
        ShapeError: if the codes are not of that shape.

    Example:
        >>> CausalTransformer(42, size=10, width=8, heads=2, layers=1)(torch.zeros(2, 42, 1, dtype=torch.long)).shape
        torch.Size([2, 42, 1, 10])
    """

    later: Tensor

    def __init__(
        self, positions: int, size: int, depth: int = 1, width: int = 128, heads: int = 4, layers: int = 4
    ) -> None:
        super().__init__()
        for name, number in (("positions", positions), ("depth", depth), ("heads", heads), ("layers", layers)):
            check_whole(name, number)
        if width % heads:
            raise SettingError(f"got width={width} with heads={heads}; expected a multiple of the number of heads")
        self.positions, self.depth, tokens = positions, depth, positions * depth
        self.embeddings = nn.ModuleList(nn.Embedding(size, width) for _ in range(depth))
        self.start, self.place = nn.Parameter(torch.zeros(width)), nn.Parameter(0.1 * torch.randn(tokens, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, size) for _ in range(depth))
        mask = nn.Transformer.generate_square_subsequent_mask(tokens)
        self.register_buffer("later", mask.to(torch.get_default_dtype()), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        check_codes(codes, self.positions, self.depth)
        flat = codes.reshape(-1, self.positions, self.depth)
        tokens = torch.stack([e(flat[..., level]) for level, e in enumerate(self.embeddings)], -2).flatten(1, 2)
        h = torch.cat([self.start.expand(len(flat), 1, -1), tokens[:, :-1]], 1) + self.place
        for layer in self.layers:
            h = layer(h, src_mask=self.later, is_causal=True)
        h = self.norm(h).unflatten(1, (self.positions, self.depth))
        logits = [head(h[:, :, level]) for level, head in enumerate(self.heads)]
        return torch.stack(logits, -2).reshape(*codes.shape, -1)
