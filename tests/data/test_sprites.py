"""dSprites, drawn from its outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elbox.data.sprites import FACTORS, sprites

SQUARE = {"square_half": np.array(9.6)}


def row(shape: int, scale: int, orientation: int, x: int, y: int) -> np.ndarray:
    return np.array([np.ravel_multi_index((shape, scale, orientation, x, y), tuple(FACTORS.values()))])


def test_reference_images(data_dir: Path) -> None:
    """266 published frames, to the pixel."""
    with np.load(data_dir / "dsprites_shapes.npz", allow_pickle=False) as z:
        outlines = {name: z[name] for name in z.files if not name.startswith("reference")}
        bits, latents = z["reference_bits"], z["reference_latents"]
    rows = np.ravel_multi_index(tuple(latents.astype(int).T), tuple(FACTORS.values()))
    assert (np.packbits(sprites(rows, outlines).reshape(-1, 4096), axis=1) ^ bits).sum() == 0


@pytest.mark.parametrize("scale", range(6))
def test_area_of_a_square_is_that_of_its_scale(scale: int) -> None:
    """The mean over orientations of the number of white pixels, to 1 %."""
    rows = np.concatenate([row(0, scale, turn, 7, 13) for turn in range(39)])
    side = 2 * 9.6 * np.linspace(0.5, 1, 6)[scale]
    assert sprites(rows, SQUARE).sum((1, 2)).mean() == pytest.approx(side**2, rel=0.02)


def test_x_moves_right_and_y_moves_down() -> None:
    for x, y in ((0, 0), (31, 0), (0, 31), (20, 5)):
        image = sprites(row(0, 2, 0, x, y), SQUARE)[0]
        down, right = (axis.mean() + 0.5 for axis in np.nonzero(image))
        assert (right, down) == pytest.approx((16 + 32 * x / 31, 16 + 32 * y / 31), abs=0.5)


def test_first_and_last_orientation_coincide() -> None:
    assert (sprites(row(0, 3, 0, 4, 4), SQUARE) == sprites(row(0, 3, 39, 4, 4), SQUARE)).all()
