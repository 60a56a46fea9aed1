"""What is minimised where a prior is trained alone, on codes."""

from __future__ import annotations

__all__ = ["learning_loss"]

from typing import Any

from torch import Tensor, nn


def learning_loss(prior: nn.Module, z: Tensor, c: Any = None) -> Tensor:
    """−log p(z) of codes, or what the prior itself puts in its place: its `loss(z, c)`.

    Arguments:
        prior: A prior.
        z: Codes [..., D].
        c: Condition, or None.

    Returns:
        [...]; nats, unless the prior's own loss is no bound.

    Example:
        >>> import torch
        >>> from elbox.priors import StandardNormal
        >>> learning_loss(StandardNormal(2), torch.zeros(3, 2))
        tensor([1.8379, 1.8379, 1.8379])
    """
    return prior.loss(z, c) if hasattr(prior, "loss") else -prior(c).log_prob(z)  # type: ignore[operator]
