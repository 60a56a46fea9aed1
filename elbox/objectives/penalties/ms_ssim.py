"""Multi-scale structural similarity of images and their reconstructions."""

from __future__ import annotations

__all__ = ["MSSSIM", "ms_ssim"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from elbox.errors import SettingError, ShapeError
from elbox.objectives.penalized import Penalty
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Terms

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # β_1 … β_5 = γ_1 … γ_5, α_5 = β_5
SIGMA, K1, K2 = 1.5, 0.01, 0.03
LEAST = 1e-4  # of a mean that gets a fractional exponent


@part
class MSSSIM(Penalty):
    r"""1 − MS-SSIM(x, x̂), x̂ = E[x|z], averaged over samples and channels: 0 for equal images, at most 1.

    The number of scales follows from the size of the images (`ms_ssim`): 5 from 176 pixels on, 2 for 28 × 28.

    Reference: Wang, Simoncelli & Bovik (2003), *Multi-scale structural similarity for image quality assessment*, §3;
    Snell et al. (2017), *Learning to generate images with perceptual similarity metrics* (as a loss).

    Arguments:
        span: L, the largest possible value of the data less the smallest: 255 for bytes.
        weight: Factor ≥ 0, a number or a `Schedule`; the nats that the difference between 1 and 0 costs.
        window: Width of the window in pixels, an odd number ≥ 3; images must be as wide.

    Raises:
        SettingError: if span or window are impossible.
        ShapeError: if the data are no images of at least the window's size.

    Example:
        >>> import elbox, torch
        >>> model = elbox.recipes.vae(elbox.DataSpec((1, 12, 12), "binary"), latent=2).model
        >>> MSSSIM(span=1.0)(model.terms(torch.ones(3, 1, 12, 12))).shape
        torch.Size([3])
    """

    of_latents = False

    def __init__(self, span: float, weight: float | Schedule = 1.0, window: int = 11) -> None:
        if not span > 0:
            raise SettingError(f"got span={span}; expected a positive number, such as 255 for bytes")
        if not isinstance(window, int) or window < 3 or window % 2 == 0:
            raise SettingError(f"got window={window}; expected an odd number of pixels ≥ 3")
        self.span, self.weight, self.window = span, weight, window

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        assert terms.px is not None
        assert terms.x is not None
        made = terms.px.mean
        x = terms.x.expand_as(made)
        return 1 - ms_ssim(x.flatten(0, 1), made.flatten(0, 1), self.span, self.window).unflatten(
            0, made.shape[:2]
        ).mean(0)


def ms_ssim(x: Tensor, y: Tensor, span: float, window: int = 11) -> Tensor:
    r"""l_M^{α_M} Π_{j=1}^{M} (c_j s_j)^{β_j}, the multi-scale structural similarity of pairs of images.

    l, c and s compare means, standard deviations and correlation under a Gaussian window (σ = 1.5 pixels) that moves
    over both images; each is averaged over its positions inside the image. From scale to scale both are halved by
    averaging 2 × 2 pixels; a last odd row or column is left out.

    M is 5, or less where the images at scale M would be smaller than the window; the exponents are the paper's first M,
    divided by their sum so that they still add up to 1. A mean of c s below 10⁻⁴, which images that are each other's
    negatives have, counts as 10⁻⁴: a fractional power of a negative number is not real.

    Reference: Wang, Simoncelli & Bovik (2003), *Multi-scale structural similarity for image quality assessment*, §2
    and 3; Wang et al. (2004), *Image quality assessment: from error visibility to
    structural similarity*, §III.B and C for window and constants.

    Arguments:
        x: Images [B, C, H, W].
        y: Others of the same shape.
        span: L, the largest possible value less the smallest.
        window: Width of the window in pixels, odd.

    Returns:
        [B], the mean over channels.

    Raises:
        ShapeError: if these are no images, or smaller than the window.

    Example:
        >>> x = torch.rand(3, 1, 28, 28)
        >>> ms_ssim(x, x, 1.0)
        tensor([1., 1., 1.])
    """
    if x.dim() != 4 or min(x.shape[-2:]) < window:
        raise ShapeError(
            f"got data of event shape {tuple(x.shape[1:])}; expected images (C, H, W) with H, W ≥ {window}: use a "
            "smaller window, or another penalty for data that are no images"
        )
    kernel, exponents = _gaussian(window), _exponents(min(x.shape[-2:]), window)
    wide = torch.promote_types(x.dtype, torch.float32)  # variances are differences of squares
    x, y, product = x.to(wide), y.to(wide), torch.ones((), dtype=wide, device=x.device)
    for j, exponent in enumerate(exponents):
        luminance, structure = _compare(x, y, kernel, span)
        last = j == len(exponents) - 1
        similarity = (luminance * structure if last else structure).mean((-2, -1))
        product = product * similarity.clamp(min=LEAST) ** exponent
        x, y = (x, y) if last else (F.avg_pool2d(x, 2), F.avg_pool2d(y, 2))
    return product.mean(1)


def _compare(x: Tensor, y: Tensor, kernel: list[float], span: float) -> tuple[Tensor, Tensor]:
    """l and c s of images [B, C, H, W] at each position of the window."""
    c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
    mx, my, xx, yy, xy = _blurred(torch.stack([x, y, x * x, y * y, x * y]), kernel)
    luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
    structure = (2 * (xy - mx * my) + c2) / (xx - mx * mx + yy - my * my + c2)
    return luminance, structure


def _blurred(images: Tensor, kernel: list[float]) -> Tensor:
    """Means under the window at each of its positions inside the image, down the columns and then along the rows.

    As a sum of shifted images: a convolution may be taken in bfloat16, which variances would not survive.
    """
    for axis in (-2, -1):
        places = images.shape[axis] - len(kernel) + 1
        total = torch.zeros_like(images.narrow(axis, 0, places))
        for i, weight in enumerate(kernel):
            total = total + weight * images.narrow(axis, i, places)
        images = total
    return images


def _gaussian(window: int) -> list[float]:
    """The weights of the window along one axis."""
    weights = [math.exp(-((t - window // 2) ** 2) / (2 * SIGMA**2)) for t in range(window)]
    return [w / sum(weights) for w in weights]


def _exponents(size: int, window: int) -> list[float]:
    """The first M exponents, of as many scales as the size allows, divided by their sum."""
    first = [e for j, e in enumerate(EXPONENTS) if size // 2**j >= window]
    return [e / sum(first) for e in first]
