"""Squared norms of codes and of weights: what keeps the codes of a deterministic autoencoder together."""

from __future__ import annotations

__all__ = ["CodeNorm", "WeightNorm"]

import torch
from torch import Tensor, nn

from elbox.objectives.penalized import Penalty
from elbox.parts import part
from elbox.schedules import Schedule
from elbox.terms import Terms


@part
class CodeNorm(Penalty):
    r"""½ E_q‖z‖², −log N(z; 0, I) up to a constant.

    Reference: Ghosh et al. (2020), *From variational to deterministic autoencoders*, §3.

    Arguments:
        weight: Factor ≥ 0, a number or a `Schedule`.

    Example:
        >>> import torch, elbox
        >>> terms = elbox.recipes.ae(elbox.DataSpec((5,), "binary"), latent=2).model.terms(torch.ones(3, 5))
        >>> CodeNorm(0.01)(terms).shape
        torch.Size([3])
    """

    def __init__(self, weight: float | Schedule = 1.0) -> None:
        self.weight = weight

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return 0.5 * torch.stack([g.z.square().sum(-1).mean(0) for g in terms.groups.values()]).sum(0)


@part
class WeightNorm(Penalty):
    r"""‖θ‖², the sum of squares of the weight matrices of a network; its biases are free.

    The network is a part of the model, such as its decoder's: one object in two places, trained, moved and saved with
    the model.

    Reference: Ghosh et al. (2020), *From variational to deterministic autoencoders*, §3 (RAE-L2, Tikhonov
    regularisation of the decoder).

    Arguments:
        network: Whose weights.
        weight: Factor ≥ 0, a number or a `Schedule`.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.ae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> WeightNorm(model.likelihood, 1e-4).weight
        0.0001
    """

    of_latents = False

    def __init__(self, network: nn.Module, weight: float | Schedule = 1.0) -> None:
        self.network, self.weight = network, weight  # not registered: it is the model's, which trains and saves it

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        return torch.stack([p.square().sum() for p in self.network.parameters() if p.dim() > 1]).sum()
