"""The diagonal normal posterior whose means are normalised over the batch."""

from __future__ import annotations

__all__ = ["BatchNormalized"]

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal, soft_clip
from elbox.errors import ShapeError, check_number, check_whole
from elbox.parts import part
from elbox.posteriors.diagonal_normal import DiagonalNormal, mean_and_scale


@part
class BatchNormalized(LazyDistribution):
    r"""q(z|x) = N(z; γ (h(x) − m) / s + β, diag σ²(x)), with mean m and deviation s of h over the batch, and γ fixed.

    Under a standard normal prior the mean rate of a batch has a floor, through which no collapse falls:

        mean KL(q ‖ p) = ½ Σ_d [ mean μ_d² + mean (σ_d² − log σ_d² − 1) ] ≥ ½ Σ_d (γ² + β_d²).

    β is learned. In evaluation m and s are running means over the batches of training: q(z|x) is then a function of x
    alone, and the floor holds over data like those of training, as far as m and s have settled. To s², 10⁻⁵ is added.

    Reference: Zhu et al. (2020), *A batch normalized inference network keeps the KL vanishing away* (the bound; γ fixed
    and β learned as in their code); Ioffe & Szegedy (2015), *Batch normalization*, algorithms 1 and 2.

    Arguments:
        net: Network with output shape `BatchNormalized.output_shape(latent)`: h, then s' with σ = exp(soft_clip(s')).
        latent: Dimension D of z.
        gamma: γ ≥ 0, the deviation of each mean over the data; 1 is that of the prior's draws.
        momentum: Share of the newest batch in the running means, in (0, 1].

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        ShapeError: if the network's output has another shape, or there is but one example in training.

    Example:
        >>> from elbox.nn import MLP
        >>> q = BatchNormalized(MLP(5, [8], BatchNormalized.output_shape(2)), 2, gamma=0.5)
        >>> (q(torch.randn(100, 5)).mean.std(0, unbiased=False) - 0.5).abs().max() < 1e-3
        tensor(True)
    """

    running_mean: Tensor
    running_variance: Tensor

    def __init__(self, net: nn.Module, latent: int, gamma: float = 0.6, momentum: float = 0.1) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_number("gamma", gamma)
        check_number("momentum", momentum, positive=True)
        self.net, self.latent, self.gamma, self.momentum = net, latent, gamma, momentum
        self.shift = nn.Parameter(torch.zeros(latent))  # β
        self.register_buffer("running_mean", torch.zeros(latent))
        self.register_buffer("running_variance", torch.ones(latent))

    @staticmethod
    def output_shape(latent: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (2, D)."""
        return DiagonalNormal.output_shape(latent)

    def forward(self, c: Any = None) -> Distribution:
        h, log_scale = mean_and_scale(self.net, c, self.latent, "BatchNormalized")
        return diagonal_normal(self.gamma * self._normalized(h) + self.shift, soft_clip(log_scale).exp())

    def _normalized(self, h: Tensor) -> Tensor:
        rows = h.reshape(-1, self.latent)
        if self.training and len(rows) < 2:
            raise ShapeError(
                "got one example for BatchNormalized in training; expected at least two, over which means are "
                "normalised: take a larger batch"
            )
        moments = self.running_mean, self.running_variance
        return F.batch_norm(rows, *moments, training=self.training, momentum=self.momentum).reshape(h.shape)
