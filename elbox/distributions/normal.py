r"""The diagonal normal distribution and the one map from a network's output to a scale that all parts share."""

from __future__ import annotations

__all__ = ["LOG_SCALE_BOUND", "diagonal_normal", "soft_clip"]

from torch import Tensor
from torch.distributions import Independent, Normal

LOG_SCALE_BOUND = 10.0


def soft_clip(x: Tensor, bound: float = LOG_SCALE_BOUND) -> Tensor:
    r"""x / (1 + |x| / bound): the identity near 0, never beyond ±bound, with a gradient everywhere.

    Scales are σ = exp(soft_clip(s)), so that no network output makes σ vanish or overflow (σ in e^{±10}).

    Arguments:
        x: Any shape.
        bound: Limit of the absolute value.

    Example:
        >>> import torch
        >>> soft_clip(torch.tensor([0.0, 10.0, 1e9]))
        tensor([ 0.,  5., 10.])
    """
    return x / (1 + x.abs() / bound)


def diagonal_normal(loc: Tensor, scale: Tensor, event_dims: int = 1) -> Independent:
    r"""N(loc, diag(scale²)) with the last `event_dims` dimensions as one event.

    Arguments:
        loc: Mean μ, [..., *event].
        scale: Standard deviation σ > 0, broadcastable with `loc`.
        event_dims: Number of event dimensions.

    Example:
        >>> import torch
        >>> diagonal_normal(torch.zeros(3, 2), torch.ones(2)).log_prob(torch.zeros(3, 2))
        tensor([-1.8379, -1.8379, -1.8379])
    """
    return Independent(Normal(loc, scale, validate_args=False), event_dims, validate_args=False)
