"""Multi-scale structural similarity: identities, and the definition written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from torch import Tensor
from torch.autograd import gradcheck

from elbox import VAE, DataSpec, recipes
from elbox.errors import SettingError, ShapeError
from elbox.likelihoods import FixedGaussian
from elbox.nn import MLP
from elbox.objectives import MSSSIM
from elbox.objectives.penalties.ms_ssim import EXPONENTS, _exponents, ms_ssim
from elbox.posteriors import Deterministic
from elbox.priors import StandardNormal

Pair = tuple[Tensor, Tensor]


def images(size: int = 28, batch: int = 3, channels: int = 1) -> Pair:
    """Smooth images with values in 0 … 1, and noisy copies."""
    rough = torch.rand(batch, channels, size // 4, size // 4, dtype=torch.float64)
    x = torch.nn.functional.interpolate(rough, size=size, mode="bilinear")
    return x, (x + 0.1 * torch.randn_like(x)).clamp(0, 1)


def by_hand(x: np.ndarray, y: np.ndarray, span: float, window: int, scales: int) -> float:
    """Wang et al. (2003), §3, for one channel."""
    t = np.arange(window) - window // 2
    kernel = np.exp(-(t[:, None] ** 2 + t**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    product = 1.0
    for j in range(scales):
        mx, my, xx, yy, xy = (convolve2d(a, kernel, mode="valid") for a in (x, y, x * x, y * y, x * y))
        c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
        deviations = 2 * np.sqrt(np.maximum((xx - mx**2) * (yy - my**2), 0))
        contrast = (deviations + c2) / (xx - mx**2 + yy - my**2 + c2)
        structure = (xy - mx * my + c2 / 2) / (deviations / 2 + c2 / 2)
        similar = contrast * structure
        if j == scales - 1:
            similar = similar * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        product *= similar.mean() ** (EXPONENTS[j] / sum(EXPONENTS[:scales]))
        x, y = (a[: len(a) // 2 * 2, : a.shape[1] // 2 * 2] for a in (x, y))
        x, y = ((a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2]) / 4 for a in (x, y))
    return product


@pytest.mark.parametrize(("size", "window", "scales"), [(28, 11, 2), (8, 7, 1), (47, 11, 3), (180, 11, 5)])
def test_against_the_definition(size: int, window: int, scales: int) -> None:
    x, y = images(size, batch=2, channels=2)
    span = 1.0
    right = [np.mean([by_hand(a.numpy(), b.numpy(), span, window, scales) for a, b in zip(p, q)]) for p, q in zip(x, y)]
    np.testing.assert_allclose(ms_ssim(x, y, span, window).numpy(), right, rtol=1e-8)


def test_number_of_scales() -> None:
    """As many as leave an image of the window's size; the exponents always add up to 1."""
    found = {size: _exponents(size, 11) for size in (11, 21, 22, 28, 43, 44, 87, 88, 175, 176, 1000)}
    assert [len(e) for e in found.values()] == [1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5]
    assert all(sum(e) == pytest.approx(1) for e in found.values())
    assert found[1000] == pytest.approx(EXPONENTS, abs=1e-4)


def test_identities() -> None:
    """1 for equal images and only for these, symmetric, at most 1; each image alone."""
    x, y = images()
    assert ms_ssim(x, x, 1.0) == pytest.approx(1)
    found = ms_ssim(x, y, 1.0)
    assert (found < 0.999).all()
    torch.testing.assert_close(found, ms_ssim(y, x, 1.0))
    torch.testing.assert_close(found[1:2], ms_ssim(x[1:2], y[1:2], 1.0))
    assert (ms_ssim(x, (x + y) / 2, 1.0) > found).all()


@pytest.mark.parametrize(
    "change",
    [lambda a: 255 * a, lambda a: a.mT, lambda a: a.flip(-1), lambda a: a.flip(-2), lambda a: a.repeat(1, 3, 1, 1)],
    ids=["unit", "transposed", "left and right", "upside down", "copied channels"],
)
def test_invariances(change) -> None:
    x, y = images()
    span = 255.0 if change(torch.ones(1, 1, 1, 1)).max() > 1 else 1.0
    torch.testing.assert_close(ms_ssim(change(x), change(y), span), ms_ssim(x, y, 1.0))


def test_constant_images_differ_in_luminance_alone() -> None:
    """c s = 1 and l = (2ab + C₁)/(a² + b² + C₁), to the last exponent."""
    a, b = torch.full((1, 1, 28, 28), 0.3).double(), torch.full((1, 1, 28, 28), 0.8).double()
    luminance = (2 * 0.3 * 0.8 + 1e-4) / (0.3**2 + 0.8**2 + 1e-4)
    assert ms_ssim(a, b, 1.0).item() == pytest.approx(luminance ** _exponents(28, 11)[-1])


def test_negatives_have_finite_values_and_gradients() -> None:
    x, _ = images()
    y = (1 - x).requires_grad_()
    found = ms_ssim(x, y, 1.0)
    found.sum().backward()
    assert (found >= 0).all()
    assert found.isfinite().all()
    assert y.grad.isfinite().all()


def test_gradcheck() -> None:
    x, y = images(12)
    assert gradcheck(lambda y: ms_ssim(x, y, 1.0), (y.requires_grad_(),))


def test_penalty_is_the_mean_over_samples() -> None:
    model = VAE(StandardNormal(2), FixedGaussian(MLP(2, [4], (2, 12, 14))), Deterministic(MLP((2, 12, 14), [4], 2), 2))
    terms = model.terms(torch.rand(3, 2, 12, 14), samples=2)
    right = 1 - (ms_ssim(terms.x, terms.px.mean[0], 5.0) + ms_ssim(terms.x, terms.px.mean[1], 5.0)) / 2
    torch.testing.assert_close(MSSSIM(span=5.0)(terms), right)


def test_window_of_the_recipe_fits_the_image() -> None:
    for side, window in ((28, 11), (12, 11), (11, 11), (10, 9), (9, 9), (8, 7)):
        recipe = recipes.ms_ssim_vae(DataSpec((1, side, 30), "binary"), latent=2, hidden=(4,))
        assert recipe.objective.penalties[0].window == window


def test_errors() -> None:
    for bad in (4, 1):
        with pytest.raises(SettingError, match="got window="):
            MSSSIM(1.0, window=bad)
    with pytest.raises(SettingError, match=r"got span=0\.0; expected a positive number"):
        MSSSIM(0.0)
    with pytest.raises(ShapeError, match=r"got data of event shape \(1, 10, 30\); expected images .* H, W ≥ 11"):
        ms_ssim(torch.zeros(2, 1, 10, 30), torch.zeros(2, 1, 10, 30), 1.0)
    with pytest.raises(ShapeError, match=r"got data of event shape \(20,\)"):
        ms_ssim(torch.zeros(2, 20), torch.zeros(2, 20), 1.0)
