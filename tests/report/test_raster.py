"""Grids of images: geometry and values to the pixel, for every number of channels and kind of values."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from elbox import DataSpec, SettingError, ShapeError
from elbox.report import grid_png, pixels
from elbox.report.raster import brightness, shrink


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@given(
    n=st.integers(1, 7), columns=st.integers(1, 5), scale=st.integers(1, 3), gap=st.integers(0, 3), colour=st.booleans()
)
def test_every_pixel_is_where_it_should_be(n, columns, scale, gap, colour):
    x = torch.randint(0, 256, (n, 3 if colour else 1, 4, 5), dtype=torch.uint8)
    picture = opened(grid_png(x, columns, scale, gap=gap))
    rows, columns = -(-n // columns), min(columns, n)
    assert picture.shape[:2] == (rows * (4 * scale + gap) - gap, columns * (5 * scale + gap) - gap)
    picture = picture if colour else picture[..., None]
    seen = np.zeros(picture.shape[:2], bool)
    for i in range(n):
        top, left = (i // columns) * (4 * scale + gap), (i % columns) * (5 * scale + gap)
        inside = (slice(top, top + 4 * scale), slice(left, left + 5 * scale))
        seen[inside] = True
        tile = picture[inside].reshape(4, scale, 5, scale, -1)
        assert (tile == x[i].permute(1, 2, 0).numpy()[:, None, :, None]).all()
    assert (picture[~seen] == 255).all()


def test_brightness_is_rounded_and_clipped():
    x = torch.tensor([[[-1.0, 0.0, 0.5], [1.0, 2.0, float("nan")]]])
    assert opened(grid_png(x, scale=1)).tolist() == [[0, 0, 128], [255, 255, 0]]


def test_small_images_are_magnified_and_large_ones_are_not():
    assert opened(grid_png(torch.zeros(64, 1, 8, 8))).shape == (8 * 56 + 7 * 2,) * 2
    assert opened(grid_png(torch.zeros(1, 3, 100, 200))).shape == (100, 200, 3)


def test_channels_become_colours():
    red = torch.tensor([1.0, 0.0])[None, :, None, None]
    assert opened(grid_png(red, scale=1)).tolist() == [[[255, 0, 0]]]
    half = torch.tensor([1.0, 0.0, 0.0, 0.2])[None, :, None, None]  # alpha on white
    assert opened(grid_png(half, scale=1)).tolist() == [[[255, 204, 204]]]


def test_gaps_can_be_transparent_and_rows_grouped():
    picture = opened(grid_png(torch.zeros(6, 1, 3, 3), 1, 1, gap=2, rows_together=2, transparent=True))
    assert picture.shape == (6 * 3 + 5 * 2 + 2 * 4, 3, 2)
    shown = np.flatnonzero(picture[:, 0, 1] == 255)
    tops = [0, 5, 14, 19, 28, 33]  # gaps of 2, and of 6 after each second row
    assert shown.tolist() == [top + i for top in tops for i in range(3)]


def test_levels_and_binary_have_their_own_range():
    assert brightness(torch.zeros(1, 1), DataSpec((1,), "levels", levels=17)) == (0, 16)
    assert brightness(torch.zeros(1, 1), DataSpec((1,), "binary")) == (0, 1)
    x = torch.tensor([[[[0.0, 8.0, 16.0]]]])
    assert pixels(x, DataSpec((1, 1, 3), "levels", levels=17)).flatten().tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("kind", ["real", "count"])
def test_outliers_do_not_darken_everything(kind):
    x = torch.arange(1000.0).reshape(10, 1, 10, 10)
    x[-1, 0, -1, -1] = 1e9
    shown = pixels(x, DataSpec((1, 10, 10), kind))
    assert 0.45 < shown.median() < 0.55
    assert shown.min() == 0
    assert shown.max() == 1


def test_constant_images_and_pictures_of_one_scale():
    spec = DataSpec((1, 2, 2), "real")
    assert torch.isfinite(pixels(torch.full((3, 1, 2, 2), 7.0), spec)).all()
    data = torch.linspace(0, 10, 400).reshape(100, 1, 2, 2)
    assert pixels(torch.full((1, 1, 2, 2), 5.0), spec, like=data).mean() == pytest.approx(0.5, abs=0.01)


def test_shrinking_keeps_means_and_shape():
    x = torch.rand(2, 3, 64, 32)
    small = shrink(x, 16)
    assert small.shape == (2, 3, 16, 8)
    assert torch.allclose(small.mean((2, 3)), x.mean((2, 3)), atol=1e-5)
    assert shrink(x, 64) is x


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (2, 5, 8, 8), (8, 8), (1, 1, 1, 8, 8)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ShapeError, match=r"got images of shape .*; expected \[N, C, H, W\]"):
        grid_png(torch.zeros(shape))


@pytest.mark.parametrize("options", [{"columns": 0}, {"scale": 0}, {"gap": -1}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(SettingError, match="expected columns ≥ 1, scale ≥ 1 and gap ≥ 0"):
        grid_png(torch.zeros(1, 1, 8, 8), **options)
