r"""dSprites: 64×64 binary images of a square, an ellipse or a heart that vary in five known factors.

The sets' 737 280 images are all combinations of 3 shapes, 6 scales s = 0.5 … 1, 40 orientations 0 … 2π (the first and
the last coincide) and 32 × 32 positions, in this order, the last fastest. A pixel is white if its centre, in
coordinates (u, v) that are relative to the sprite's centre, turned by the orientation and divided by s, lies inside the
outline: a square of half-side h, or a closed curve of radius r(angle) that is symmetric about u = 0. The centre is at
16 + 32 k/31 pixels, k = 0 … 31.

Reference: Matthey et al. (2017), *dSprites: Disentanglement testing sprites dataset*. The outlines are not published;
they were recovered from published images, so that some boundary pixels may differ from the original's.
"""

from __future__ import annotations

__all__ = ["FACTORS", "sprites"]

from collections.abc import Mapping

import numpy as np

FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
SIZE = 64  # pixels
ELLIPSE = (12.8, 7.2)  # semi-axes at s = 1, pixels


def sprites(rows: np.ndarray, outlines: Mapping[str, np.ndarray]) -> np.ndarray:
    """Images of given numbers in the official order, 0 … 737 279.

    Arguments:
        rows: Row numbers [N].
        outlines: `square_half`, and knots (angles in radians) and radii of the other two shapes: `ellipse_knots`,
            `ellipse_radius`, `heart_knots`, `heart_radius`. Those of shapes that do not occur may be missing.

    Returns:
        [N, 64, 64] uint8, 0 or 1.

    Example:
        >>> image = sprites(np.array([0]), {"square_half": np.array(9.6)})[0]
        >>> int(image.sum()), int(image[16, 16])
        (100, 1)
    """
    shape, scale, turn, x, y = np.unravel_index(rows, tuple(FACTORS.values()))
    size = np.linspace(0.5, 1, FACTORS["scale"])[scale][:, None, None]
    angle = np.linspace(0, 2 * np.pi, FACTORS["orientation"])[turn][:, None, None]
    centre, pixel = SIZE / 4 + SIZE / 2 * np.linspace(0, 1, FACTORS["x"]), np.arange(SIZE) + 0.5
    right, down = pixel[None, None, :] - centre[x][:, None, None], pixel[None, :, None] - centre[y][:, None, None]
    u = np.abs(np.cos(angle) * right - np.sin(angle) * down) / size
    v = (np.sin(angle) * right + np.cos(angle) * down) / size
    found = np.zeros((len(rows), SIZE, SIZE), np.uint8)
    for kind, inside in enumerate((_square, _ellipse, _heart)):
        own = shape == kind
        if own.any():
            found[own] = inside(u[own], v[own], outlines)
    return found


def _square(u: np.ndarray, v: np.ndarray, outlines: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.maximum(u, np.abs(v)) < outlines["square_half"]


def _ellipse(u: np.ndarray, v: np.ndarray, outlines: Mapping[str, np.ndarray]) -> np.ndarray:
    u, v = u / ELLIPSE[0], np.abs(v) / ELLIPSE[1]
    return np.hypot(u, v) < np.interp(np.arctan2(v, u), outlines["ellipse_knots"], outlines["ellipse_radius"])


def _heart(u: np.ndarray, v: np.ndarray, outlines: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.hypot(u, v) < np.interp(np.arctan2(v, u), outlines["heart_knots"], outlines["heart_radius"])
