"""Total correlation by the density-ratio trick: FactorVAE."""

from __future__ import annotations

__all__ = ["AdversarialTotalCorrelation"]

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from elbox.objectives.penalized import Penalty
from elbox.objectives.penalties.aggregated import needs_pairs
from elbox.parts import part
from elbox.players import frozen
from elbox.schedules import Schedule
from elbox.terms import Terms


@part
class AdversarialTotalCorrelation(nn.Module, Penalty):
    r"""TC = KL(q(z) ‖ Π_d q(z_d)) ≈ E_q(z)[ log D(z)/(1 − D(z)) ] with a discriminator D that tells codes from permuted
    ones.

    D is trained on −½ E[log D(z)] − ½ E[log(1 − D(z̃))], where z̃ is a batch of codes each of whose dimensions was
    permuted over the batch on its own: a draw of Π_d q(z_d). At its optimum log D/(1 − D) = log q(z) − Σ_d log q(z_d).
    The gradient of the penalty reaches the encoder alone, that of D's loss D alone (`elbox.players`). The codes of all
    groups of latent variables are taken as one. The paper permutes a second batch and trains D with its own optimiser;
    here the same batch is permuted, and one optimiser moves both players.

    Reference: Kim & Mnih (2018), *Disentangling by factorising*, §3, eq. 2 and 3, algorithms 1 and 2.

    Arguments:
        discriminator: Network z [..., D] ↦ log D(z)/(1 − D(z)) [...]; in the paper of 6 layers of 1000 leaky-ReLU
        units.
        weight: γ ≥ 0, a number or a `Schedule`.

    Raises:
        ShapeError: for a batch of one example.

    Example:
        >>> import elbox
        >>> model = elbox.recipes.vae(elbox.DataSpec((5,), "binary"), latent=2).model
        >>> penalty = AdversarialTotalCorrelation(elbox.nn.MLP(2, [8], ()), weight=35.0)
        >>> penalty(model.terms(torch.ones(3, 5), samples=4)).shape
        torch.Size([3])
    """

    def __init__(self, discriminator: nn.Module, weight: float | Schedule = 35.0) -> None:
        super().__init__()
        self.discriminator, self.weight = discriminator, weight

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        with frozen(self.discriminator):
            return self.discriminator(_codes(terms)).mean(0)

    def own_loss(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        z = _codes(terms).detach()
        real, permuted = self.discriminator(z), self.discriminator(permute_dimensions(z))
        return 0.5 * (softplus(-real) + softplus(permuted)).mean()


def permute_dimensions(z: Tensor) -> Tensor:
    """Codes [K, B, D] of which each dimension d is permuted over the batch by a permutation of its own.

    Reference: Kim & Mnih (2018), algorithm 1.
    """
    return z.gather(1, torch.rand_like(z).argsort(1))


def _codes(terms: Terms) -> Tensor:
    for group in terms.groups.values():
        needs_pairs("AdversarialTotalCorrelation", group)
    return torch.cat([group.z for group in terms.groups.values()], -1)
