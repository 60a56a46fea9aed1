"""Convolutional networks between an image and a small map of vectors, one for each position."""

from __future__ import annotations

__all__ = ["MapDecoder", "MapEncoder"]

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from elbox.errors import SettingError, ShapeError
from elbox.nn.conv import Bilinear, Residual, _image, sizes
from elbox.nn.standardize import Standardize
from elbox.parts import part

RESIDUALS = 2  # blocks at the size of the map, as in the paper


@part
class MapEncoder(nn.Module):
    r"""Convolutions 3×3 with stride 2, two residual blocks, then d numbers for each position of the map.

    Reference: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, §4.1 (two strided
    convolutions 4×4 of 256 units and two residual blocks).

    Arguments:
        image: Shape (C, H, W) with H, W ≥ 8.
        width: d.
        channels: Number of feature maps after each halving; the map is of size (⌈H/2ⁿ⌉, ⌈W/2ⁿ⌉) for n of them.
        offset: Subtracted from the image (`DataSpec.offset`).
        scale: Divides the image (`DataSpec.scale`).

    Shapes:
        input [..., C, H, W] → output [..., P, d], the P positions of the map row by row.

    Raises:
        ShapeError: if the image is not of shape (C, H, W) with H, W ≥ 8, or an input is of another shape.
        SettingError: if there are no channels.

    Example:
        >>> import torch
        >>> encoder = MapEncoder((3, 30, 21), 5)
        >>> encoder.map, encoder(torch.zeros(4, 3, 30, 21)).shape
        ((8, 6), torch.Size([4, 48, 5]))
    """

    def __init__(
        self,
        image: Sequence[int],
        width: int,
        channels: Sequence[int] = (32, 64),
        offset: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
    ) -> None:
        super().__init__()
        self.image = _image(image)
        _check_channels(channels)
        self.map = sizes(*self.image[1:], len(channels))[-1]
        self.standardize = Standardize(self.image, offset, scale)
        steps = pairwise([self.image[0], *channels])
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in steps)
        self.blocks = nn.ModuleList(Residual(channels[-1]) for _ in range(RESIDUALS))
        self.last = nn.Conv2d(channels[-1], width, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-3:] != self.image:
            raise ShapeError(f"got an input of shape {tuple(x.shape)}; expected images {self.image}: resize the data")
        batch = x.shape[:-3]
        h = self.standardize(x).reshape(-1, *self.image)
        for conv in self.convs:
            h = F.silu(conv(h))
        for block in self.blocks:
            h = block(h)
        return self.last(F.silu(h)).flatten(-2).mT.reshape(*batch, -1, self.last.out_channels)


@part
class MapDecoder(nn.Module):
    r"""The mirror image of `MapEncoder`: two residual blocks, then (up-sampling, convolution, residual block) for each
    level.

    Reference: as `MapEncoder`; Odena et al. (2016), *Deconvolution and checkerboard artifacts* (bilinear up-sampling
    instead of transposed convolutions).

    Arguments:
        width: d.
        outputs: Shape of one output: the image (C, H, W), or (n, C, H, W) for n parameters a pixel; H, W ≥ 8.
        channels: Number of feature maps at each level from the image down, as in the encoder.

    Shapes:
        input [..., P·d], the P positions of the map row by row → output [..., *outputs].

    Raises:
        ShapeError: if `outputs` does not end in (C, H, W) with H, W ≥ 8.
        SettingError: if there are no channels.

    Example:
        >>> import torch
        >>> MapDecoder(5, (2, 3, 30, 21))(torch.zeros(4, 7, 48 * 5)).shape
        torch.Size([4, 7, 2, 3, 30, 21])
    """

    def __init__(self, width: int, outputs: Sequence[int], channels: Sequence[int] = (32, 64)) -> None:
        super().__init__()
        _check_channels(channels)
        self.width, self.outputs = width, tuple(outputs)
        image = _image(self.outputs[-3:])
        maps, widths = sizes(image[1], image[2], len(channels))[::-1], list(channels)[::-1]
        self.map = maps[0]
        self.first = nn.Conv2d(width, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(Residual(widths[0]) for _ in range(RESIDUALS))
        self.ups = nn.ModuleList(Bilinear(a, b) for a, b in pairwise(maps))
        steps = list(zip(widths, [*widths[1:], widths[-1]], strict=True))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in steps)
        self.finer = nn.ModuleList(Residual(b) for _, b in steps)
        self.last = nn.Conv2d(widths[-1], prod(self.outputs[:-2]), 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        batch = z.shape[:-1]
        h = self.first(z.reshape(-1, *self.map, self.width).movedim(-1, 1))
        for block in self.blocks:
            h = block(h)
        for up, conv, block in zip(self.ups, self.convs, self.finer, strict=True):
            h = block(conv(F.silu(up(h))))
        return self.last(F.silu(h)).reshape(*batch, *self.outputs)


def _check_channels(channels: Sequence[int]) -> None:
    if not channels:
        raise SettingError("got channels=(); expected at least one number of feature maps, such as (32, 64)")
