"""Convolutional networks for images of any size ≥ 8: a strided encoder and a residual, bilinearly up-sampling
decoder.
"""

from __future__ import annotations

__all__ = ["ConvEncoder", "ConvDecoder"]

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from elbox.errors import SettingError, ShapeError
from elbox.nn.standardize import Standardize
from elbox.parts import part


def sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sizes of the feature maps from the image down, each half of the one before, rounded up as a strided convolution
    does.
    """
    out = [(height, width)]
    for _ in range(levels):
        out.append(((out[-1][0] + 1) // 2, (out[-1][1] + 1) // 2))
    return out


@part
class ConvEncoder(nn.Module):
    r"""Convolutions 3×3 with stride 2 and SiLU, one for each entry of `channels`, then one affine map.

    Arguments:
        image: Shape (C, H, W) with H, W ≥ 8.
        outputs: Shape of one output.
        channels: Number of feature maps after each halving.
        context: Number of features of a condition c; the input is then a pair (x, c).
        offset: Subtracted from the image (`DataSpec.offset`).
        scale: Divides the image (`DataSpec.scale`).

    Shapes:
        input [..., C, H, W] (or a pair with c [..., context]) → output [..., *outputs].

    Reference: Radford et al. (2016), *Unsupervised representation learning with DCGANs*, §3 (strides instead of
    pooling).

    Raises:
        ShapeError: if the image is not of shape (C, H, W) with H, W ≥ 8, or an input is of another shape.

    Example:
        >>> ConvEncoder((3, 30, 21), (2, 5))(torch.zeros(4, 3, 30, 21)).shape
        torch.Size([4, 2, 5])
    """

    def __init__(
        self,
        image: Sequence[int],
        outputs: int | Sequence[int],
        channels: Sequence[int] = (32, 64),
        context: int = 0,
        offset: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
    ) -> None:
        super().__init__()
        self.image, self.outputs = _image(image), (outputs,) if isinstance(outputs, int) else tuple(outputs)
        self.standardize = Standardize(self.image, offset, scale)
        widths = [self.image[0], *channels]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        height, width = sizes(*self.image[1:], len(channels))[-1]
        self.head = nn.Linear(widths[-1] * height * width + context, prod(self.outputs))

    def forward(self, x: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        x, *c = x if isinstance(x, tuple) else (x,)
        if x.shape[-3:] != self.image:
            raise ShapeError(f"got an input of shape {tuple(x.shape)}; expected images {self.image}: resize the data")
        batch = x.shape[:-3]
        h = self.standardize(x).reshape(-1, *self.image)
        for conv in self.convs:
            h = F.silu(conv(h))
        h = self.head(torch.cat([h.reshape(*batch, -1), *c], -1))
        return h.unflatten(-1, self.outputs)


class Residual(nn.Module):
    """h + conv(SiLU(conv(SiLU(h)))), the last convolution starting at 0 (Fixup), so that the block starts as the
    identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.second(F.silu(self.first(F.silu(h))))


class Bilinear(nn.Module):
    """Bilinear up-sampling as a matrix for each axis, rows · h · columnsᵀ.

    The values are those of `F.interpolate`, whose backward pass is not deterministic on GPUs, and whose gradient is
    lost when torch 2.13 compiles it between convolutions for CPUs.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, small: tuple[int, int], large: tuple[int, int]) -> None:
        super().__init__()
        for name, n, m in (("rows", small[0], large[0]), ("columns", small[1], large[1])):
            weights = F.interpolate(torch.eye(n)[None], size=m, mode="linear", align_corners=False)[0].T
            self.register_buffer(name, weights.contiguous(), persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        return F.linear(F.linear(h, self.columns).mT, self.rows).mT


@part
class ConvDecoder(nn.Module):
    r"""The mirror image of `ConvEncoder`: an affine map, then (residual block, bilinear up-sampling, convolution) per
    level.

    Bilinear up-sampling followed by a convolution leaves no checkerboard, unlike a transposed convolution.

    Arguments:
        latent: Dimension of z.
        outputs: Shape of one output: the image (C, H, W), or (n, C, H, W) for n parameters a pixel; H, W ≥ 8.
        channels: Number of feature maps at each level from the image down, as in the encoder.
        context: Number of features of a condition c; the input is then a pair (z, c).

    Shapes:
        input [..., latent] (or a pair with c [..., context]) → output [..., *outputs].

    Reference: He et al. (2016), *Identity mappings in deep residual networks*; Odena et al. (2016), *Deconvolution and
    checkerboard artifacts*.

    Raises:
        ShapeError: if `outputs` does not end in (C, H, W) with H, W ≥ 8.
        SettingError: if there are no channels.

    Example:
        >>> ConvDecoder(5, (2, 3, 30, 21))(torch.zeros(4, 7, 5)).shape
        torch.Size([4, 7, 2, 3, 30, 21])
    """

    def __init__(
        self, latent: int, outputs: Sequence[int], channels: Sequence[int] = (32, 64), context: int = 0
    ) -> None:
        super().__init__()
        if not channels:
            raise SettingError("got channels=(); expected at least one number of feature maps, such as (32, 64)")
        self.outputs = tuple(outputs)
        image = _image(self.outputs[-3:])
        maps = sizes(image[1], image[2], len(channels))[::-1]
        widths = list(channels)[::-1]
        self.start = (widths[0], *maps[0])
        self.head = nn.Linear(latent + context, prod(self.start))
        self.blocks = nn.ModuleList(Residual(w) for w in widths)
        self.ups = nn.ModuleList(Bilinear(a, b) for a, b in pairwise(maps))
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, [*widths[1:], widths[-1]], strict=True)
        )
        self.last = nn.Conv2d(widths[-1], prod(self.outputs[:-2]), 3, padding=1)

    def forward(self, z: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        z = torch.cat(z, -1) if isinstance(z, tuple) else z
        batch = z.shape[:-1]
        h = self.head(z).reshape(-1, *self.start)
        for block, up, conv in zip(self.blocks, self.ups, self.convs, strict=True):
            h = conv(F.silu(up(block(h))))
        return self.last(F.silu(h)).reshape(*batch, *self.outputs)


def _image(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) != 3 or not 1 <= shape[0] <= 4 or min(shape[1:]) < 8:
        raise ShapeError(
            f"got an event of shape {tuple(shape)}; expected an image (C, H, W) with 1 to 4 channels and H, W ≥ 8: "
            "use an MLP for other data"
        )
    return int(shape[0]), int(shape[1]), int(shape[2])
