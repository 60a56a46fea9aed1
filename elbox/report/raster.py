"""Images as people look at them: from the data's own units to brightness, and many of them in one PNG."""

from __future__ import annotations

__all__ = ["brightness", "grid_png", "pixels", "shrink"]

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from elbox.errors import SettingError, ShapeError
from elbox.spec import DataSpec

TILE = 56  # pixels that a small image is scaled up to, so that 8 × 8 digits can be seen


def brightness(x: Tensor, spec: DataSpec) -> tuple[float, float]:
    """The values that are shown as black and as white.

    Binary data, levels and values in [0, 1] have their own range. Other values span the quantiles 1 % … 99 %, counts
    0 … 99.5 %, so that one outlier does not make everything else grey.

    Arguments:
        x: Examples [N, *event] that set the scale; pictures to compare must share it.
        spec: Shape and kind of the data.

    Example:
        >>> brightness(torch.zeros(1, 1, 8, 8), DataSpec((1, 8, 8), "levels", levels=17))
        (0.0, 16.0)
    """
    if spec.kind in ("binary", "levels", "unit"):
        return 0.0, float(max(spec.levels - 1, 1))
    values = x.detach().flatten()
    values = values[:: max(1, len(values) // 1_000_000)].double().cpu()
    ends = (0.0, 0.995) if spec.kind == "count" else (0.01, 0.99)
    low, high = (float(v) for v in np.quantile(values.numpy(), ends))
    low = 0.0 if spec.kind == "count" else low
    return low, high if high > low else low + 1


def pixels(x: Tensor, spec: DataSpec, like: Tensor | None = None) -> Tensor:
    """Brightness in [0, 1] of images in the units of their data.

    Arguments:
        x: Images [N, *event].
        spec: Shape and kind of the data.
        like: Examples that set black and white (see `brightness`); None for `x` itself.

    Example:
        >>> pixels(torch.full((1, 1, 8, 8), 8.0), DataSpec((1, 8, 8), "levels", levels=17)).unique()
        tensor([0.5000])
    """
    low, high = brightness(x if like is None else like, spec)
    return ((x.detach().float().cpu() - low) / (high - low)).clamp(0, 1)


def shrink(images: Tensor, limit: int) -> Tensor:
    """Images [N, C, H, W] averaged down until neither side is longer than `limit` pixels."""
    height, width = images.shape[-2:]
    factor = limit / max(height, width)
    if factor >= 1:
        return images
    return F.interpolate(images, size=(max(1, round(height * factor)), max(1, round(width * factor))), mode="area")


def grid_png(
    images: Tensor,
    columns: int | None = None,
    scale: int | None = None,
    *,
    gap: int = 2,
    rows_together: int = 0,
    transparent: bool = False,
) -> bytes:
    """Images side by side in one PNG, row by row, without axes.

    Small images are magnified by repeating pixels, never blurred.

    Arguments:
        images: [N, C, H, W] or [N, H, W], brightness in [0, 1] (see `pixels`), clipped to it; or bytes.
            C = 1 is grey, 2 shows the first channel red and the second cyan, 3 is RGB, 4 is RGBA on white.
        columns: Images in a row; None for a square.
        scale: Whole-number magnification ≥ 1; None makes the longer side about 56 pixels.
        gap: Pixels between images.
        rows_together: Widen the gap after each so many rows; 0 never does.
        transparent: Leave the gaps transparent instead of white.

    Returns:
        The bytes of a PNG file, (columns · W · scale + (columns − 1) · gap) pixels wide.

    Raises:
        ShapeError: if these are not images.
        SettingError: if `columns`, `scale` or `gap` is impossible.

    Example:
        >>> grid_png(torch.rand(6, 1, 8, 8), columns=3)[:4]
        b'\\x89PNG'
    """
    from PIL import Image

    tiles = _colours(_as_bytes(_checked(images)))
    count, height, width, _ = tiles.shape
    columns = math.ceil(math.sqrt(count)) if columns is None else columns
    scale = max(1, round(TILE / max(height, width))) if scale is None else scale
    if min(columns, scale) < 1 or min(gap, rows_together) < 0:
        raise SettingError(
            f"got columns={columns}, scale={scale}, gap={gap}; expected columns ≥ 1, scale ≥ 1 and gap ≥ 0"
        )
    canvas = _arrange(tiles.repeat(scale, 1).repeat(scale, 2), columns, gap, rows_together)
    if not transparent:
        canvas = np.where(canvas[..., -1:] == 0, 255, canvas)[..., :-1]
    buffer = io.BytesIO()
    Image.fromarray(canvas.squeeze(-1) if canvas.shape[-1] == 1 else canvas).save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def _checked(images: Tensor) -> Tensor:
    images = images[:, None] if images.dim() == 3 else images
    if images.dim() != 4 or not 1 <= images.shape[1] <= 4 or 0 in images.shape:
        raise ShapeError(
            f"got images of shape {tuple(images.shape)}; expected [N, C, H, W] with C ≤ 4, or [N, H, W], and N ≥ 1"
        )
    return images


def _as_bytes(images: Tensor) -> np.ndarray:
    """[N, H, W, C] uint8."""
    if images.dtype != torch.uint8:
        images = (images.detach().float().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    return images.detach().cpu().permute(0, 2, 3, 1).numpy()


def _colours(x: np.ndarray) -> np.ndarray:
    """One or three channels."""
    if x.shape[-1] == 2:
        return x[..., [0, 1, 1]]
    if x.shape[-1] == 4:
        alpha = x[..., 3:] / 255.0
        return np.round(x[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return x


def _arrange(tiles: np.ndarray, columns: int, gap: int, rows_together: int) -> np.ndarray:
    """One picture [H, W, C + 1]; the last channel is 255 on the tiles and 0 between them."""
    count, height, width, channels = tiles.shape
    rows = math.ceil(count / columns)
    columns = min(columns, count)
    top = [r * (height + gap) + (2 * gap * (r // rows_together) if rows_together else 0) for r in range(rows)]
    canvas = np.zeros((top[-1] + height, columns * (width + gap) - gap, channels + 1), np.uint8)
    for i, tile in enumerate(tiles):
        y, x = top[i // columns], (i % columns) * (width + gap)
        canvas[y : y + height, x : x + width, :-1] = tile
        canvas[y : y + height, x : x + width, -1] = 255
    return canvas
