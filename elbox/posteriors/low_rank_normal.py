"""The normal posterior with a covariance of low rank plus a diagonal."""

from __future__ import annotations

__all__ = ["LowRankNormal"]

from typing import Any

from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox import distributions
from elbox.distributions import soft_clip
from elbox.errors import ShapeError, check_whole
from elbox.parts import part


@part
class LowRankNormal(LazyDistribution):
    r"""q(z|x) = N(z; μ(x), S (I + W Wᵀ) S), S = diag σ(x), with W(x) of R columns: z = μ + σ ⊙ (ε + W η).

    Between `DiagonalNormal` (R = 0) and `FullNormal` (R = D − 1 suffices), for D (2 + R) outputs. W is in units of σ
    and bounded, |W_dr| < 10, so that C = I + WᵀW can be factorised in single precision.

    Reference: Ong, Nott & Smith (2018), *Gaussian variational approximation with a factor covariance structure*.

    Arguments:
        net: Network with output shape `LowRankNormal.output_shape(latent, rank)`: μ, s with σ = exp(soft_clip(s)), and
            the columns of W before they are clipped.
        latent: Dimension D of z.
        rank: R.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> q = LowRankNormal(MLP(5, [8], LowRankNormal.output_shape(3, 2)), 3, rank=2)
        >>> q(torch.zeros(2, 5)).covariance_matrix.shape
        torch.Size([2, 3, 3])
    """

    def __init__(self, net: nn.Module, latent: int, rank: int = 1) -> None:
        super().__init__()
        check_whole("rank", rank)
        self.net, self.latent, self.rank = net, latent, rank

    @staticmethod
    def output_shape(latent: int, rank: int = 1) -> tuple[int, ...]:
        """The shape that the network's output must have: (2 + R, D)."""
        return (2 + rank, latent)

    def forward(self, c: Any = None) -> Distribution:
        h, shape = self.net(c), self.output_shape(self.latent, self.rank)
        if h.shape[-2:] != shape:
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for LowRankNormal; expected its last dimensions to be "
                f"{shape}: make the network with LowRankNormal.output_shape({self.latent}, {self.rank})"
            )
        mean, log_scale, factor = h[..., 0, :], h[..., 1, :], h[..., 2:, :]
        return distributions.LowRankNormal(mean, soft_clip(log_scale).exp(), soft_clip(factor).mT)
