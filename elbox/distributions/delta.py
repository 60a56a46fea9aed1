"""A point mass, the posterior of a plain autoencoder."""

from __future__ import annotations

__all__ = ["Delta"]

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size


class Delta(Distribution):
    r"""All mass at one point: P(z = value) = 1, a probability and not a density.

    `log_prob(value)` is 0 (and −∞ elsewhere) with respect to counting measure at that point, so an autoencoder has no
    rate; no KL to a continuous prior is finite.

    Arguments:
        value: The point, [*batch, *event].
        event_dims: Number of event dimensions.

    Example:
        >>> Delta(torch.tensor([[1.0, 2.0]])).rsample((3,)).shape
        torch.Size([3, 1, 2])
    """

    arg_constraints = {"value": constraints.real}
    has_rsample = True

    def __init__(self, value: Tensor, event_dims: int = 1) -> None:
        self.value = value
        split = value.dim() - event_dims
        super().__init__(value.shape[:split], value.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    def rsample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.value.expand(*sample_shape, *self.value.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        dims = tuple(range(-len(self.event_shape), 0))
        hit = (value == self.value).all(-1) if len(dims) == 1 else (value == self.value).flatten(-len(dims)).all(-1)
        zero = torch.zeros((), dtype=self.value.dtype, device=self.value.device)
        return torch.where(hit, zero, zero - torch.inf)
