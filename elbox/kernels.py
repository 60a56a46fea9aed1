r"""Kernels k(x, y) of two points, by which samples of two distributions are compared.

Both here are characteristic: the mean embeddings of two distributions agree only if the distributions do. They are
functions of ‖x − y‖² with k(x, x) = 1 for each of their scales, and have no unit but that of the points.
"""

from __future__ import annotations

__all__ = ["RBF", "InverseMultiquadric", "Kernel"]

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from elbox.errors import SettingError
from elbox.parts import part


class Kernel(ABC):
    """A positive definite function of the squared distance of two points in D dimensions."""

    @abstractmethod
    def of_square(self, squared: Tensor, dims: int) -> Tensor:
        """k where ‖x − y‖² is `squared`, of the same shape, for points of `dims` dimensions."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """k(x_i, y_j) of all pairs, [..., N, M].

        Arguments:
            x: Points [..., N, D].
            y: Points [..., M, D].
        """
        squared = (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1)
        return self.of_square(squared, x.shape[-1])


@part
class RBF(Kernel):
    r"""k(x, y) = exp(−‖x − y‖² / 2γ²).

    Reference: Gretton et al. (2012), *A kernel two-sample test*, §2; Zhao, Song & Ermon (2019), *InfoVAE*.

    Arguments:
        width: γ > 0, in the unit of the points; None takes √D, so that two draws of a standard normal prior, whose mean
            squared distance is 2D, are about one width apart.

    Raises:
        SettingError: if the width is not positive.

    Example:
        >>> RBF(width=1.0)(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
        tensor([[1.0000, 0.1353]])
    """

    def __init__(self, width: float | None = None) -> None:
        if width is not None and not width > 0:
            raise SettingError(f"got width={width}; expected a positive number, or None for √D")
        self.width = width

    def of_square(self, squared: Tensor, dims: int) -> Tensor:
        variance = dims if self.width is None else self.width**2
        return torch.exp(-squared / (2 * variance))


@part
class InverseMultiquadric(Kernel):
    r"""k(x, y) = Σ_s C_s / (C_s + ‖x − y‖²) with C_s = 2 D σ² s.

    Its tails are heavy, so that codes far from the prior still feel a pull. 2Dσ² is the mean squared distance of two
    draws of N(0, σ²I); the scales s are those of the authors' published code, the paper has s = 1 only.

    Reference: Tolstikhin et al. (2018), *Wasserstein auto-encoders*, §4.

    Arguments:
        sigma: σ > 0, the prior's standard deviation, in the unit of the points.
        scales: The s > 0; their kernels are added.

    Raises:
        SettingError: if σ or a scale is not positive.

    Example:
        >>> InverseMultiquadric(scales=(1.0,))(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
        tensor([[1.0000, 0.3333]])
    """

    def __init__(self, sigma: float = 1.0, scales: Sequence[float] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)) -> None:
        if not sigma > 0 or not scales or min(scales) <= 0:
            raise SettingError(f"got sigma={sigma}, scales={tuple(scales)}; expected positive numbers")
        self.sigma, self.scales = sigma, tuple(scales)

    def of_square(self, squared: Tensor, dims: int) -> Tensor:
        constants = [2 * dims * self.sigma**2 * s for s in self.scales]
        return torch.stack([c / (c + squared) for c in constants]).sum(0)
