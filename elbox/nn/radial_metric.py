"""A learned Riemannian metric of the latent space."""

from __future__ import annotations

__all__ = ["RadialMetric"]

import torch
from torch import Tensor, nn

from elbox.errors import ShapeError, check_number, check_whole
from elbox.parts import part


@part
class RadialMetric(nn.Module):
    r"""z ↦ G⁻¹(z) = Σ_m L_m L_mᵀ exp(−‖z − c_m‖² / T²) + λ I, with M centroids c_m and lower triangular factors L_m.

    G is large far from the centroids: there, distances are long and momenta move slowly. Chadebec et al. put a centroid
    at the code of each training example, with a factor from a network; while training they see those of the batch only,
    so that the metric in training is another than that in evaluation. Here centroids and factors are parameters, and
    one metric is for both. Any other module z [..., D] ↦ positive definite [..., D, D] will do in its place.

    Reference: Chadebec et al. (2020), *Geometry-aware Hamiltonian variational auto-encoder*; Chadebec et al. (2022),
    *Data augmentation in high dimensional low sample size setting using a geometry-based variational autoencoder* (the
    metric; T = 1.5 and λ = 0.01 are their code's).

    Arguments:
        latent: Dimension D of z.
        centroids: Number of centroids M; they start as draws of N(0, I), with L_m = I.
        temperature: T > 0, in units of z.
        regularization: λ > 0.

    Shapes:
        z [..., D] → [..., D, D], symmetric and positive definite.

    Raises:
        SettingError: if a number is out of range.
        ShapeError: if z has another number of dimensions.

    Example:
        >>> RadialMetric(2, centroids=3)(torch.zeros(7, 2)).shape
        torch.Size([7, 2, 2])
    """

    def __init__(
        self, latent: int, centroids: int = 20, temperature: float = 1.5, regularization: float = 0.01
    ) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_whole("centroids", centroids)
        check_number("temperature", temperature, positive=True)
        check_number("regularization", regularization, positive=True)
        self.temperature, self.regularization = temperature, regularization
        self.centroids = nn.Parameter(torch.randn(centroids, latent))
        self.factors = nn.Parameter(torch.eye(latent).repeat(centroids, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        if z.shape[-1:] != self.centroids.shape[-1:]:
            raise ShapeError(
                f"got codes of shape {tuple(z.shape)}; expected {self.centroids.shape[-1]} dimensions, those that the "
                "metric was made for"
            )
        lower = self.factors.tril()
        weight = torch.exp(-(z[..., None, :] - self.centroids).square().sum(-1) / self.temperature**2)  # [..., M]
        around = (weight @ (lower @ lower.mT).flatten(1)).unflatten(-1, lower.shape[1:])
        return around + self.regularization * torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
