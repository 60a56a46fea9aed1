"""What the posteriors on the Poincaré ball share: the way from the network's output to points and scales."""

from __future__ import annotations

__all__ = ["Hyperbolic"]

from typing import Any

import torch
from torch import Tensor, nn
from zuko.lazy import LazyDistribution

from elbox.distributions import soft_clip
from elbox.errors import ShapeError, check_whole
from elbox.nn import PoincareBall

LARGEST = 1.0  # of log σ: wider posteriors would reach the edge of what single precision can tell apart


class Hyperbolic(LazyDistribution):
    """Base of posteriors with μ(x) = exp_0(h) and σ(x) on the Poincaré ball."""

    def __init__(self, net: nn.Module, latent: int, ball: PoincareBall) -> None:
        super().__init__()
        check_whole("latent", latent, 2)
        self.net, self.latent, self.ball = net, latent, ball

    def output(self, c: Any, shape: tuple[int, ...]) -> Tensor:
        """The network's output, which must end in this shape."""
        h, name = self.net(c), type(self).__name__
        if h.shape[h.dim() - len(shape) :] != shape:
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for {name}; expected its last dimensions to be "
                f"{shape}: make the network with {name}.output_shape({self.latent})"
            )
        return h

    def scale(self, s: Tensor) -> Tensor:
        """σ = exp(s), clipped softly to within e^{−10} and e."""
        return torch.where(s < 0, soft_clip(s), soft_clip(s, LARGEST)).exp()
