"""The logarithm of an example's total, as a condition."""

from __future__ import annotations

__all__ = ["LogTotal"]

from torch import Tensor, nn

from elbox.parts import part


@part
class LogTotal(nn.Module):
    r"""c = log max(1, Σ_d x_d): the library size of a cell, or the length of a document, as a model's condition.

    Reference: Lopez et al. (2018), *Deep generative modeling for single-cell transcriptomics*, Methods (ℓ, there a
    latent variable around it; observed in the default of scvi-tools).

    Arguments:
        event_dims: Number of dimensions of the event, ≥ 1.

    Shapes:
        x ≥ 0 [..., *event] → [..., 1].

    Example:
        >>> import torch
        >>> LogTotal()(torch.tensor([[0.0, 10.0, 90.0], [0.0, 0.0, 0.0]]))
        tensor([[4.6052],
                [0.0000]])
    """

    def __init__(self, event_dims: int = 1) -> None:
        super().__init__()
        self.event_dims = event_dims

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(-self.event_dims).sum(-1, keepdim=True).clamp(min=1).log()
