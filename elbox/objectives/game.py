r"""The game of a discriminator and a deceiver, as losses of the discriminator's logits.

With logit a(y) = log D(y) − log(1 − D(y)), the discriminator minimises

    −E_p[log D(y)] − E_q[log(1 − D(y))] = E_p[softplus(−a(y))] + E_q[softplus(a(y))],

whose optimum is a = log p − log q, with the value 2 log 2 − 2 JSD(p, q). The deceiver, who makes the draws of q,
minimises −E_q[log D(y)], which has a slope where the discriminator is sure, unlike E_q[log(1 − D(y))].

Reference: Goodfellow et al. (2014), *Generative adversarial nets*, eq. 1, §3 (the deceiver's loss) and theorem 1.
"""

from __future__ import annotations

__all__ = ["deception", "detection", "single_group"]

from torch import Tensor
from torch.nn.functional import softplus

from elbox.errors import IncompatibleError
from elbox.terms import Group, Terms


def deception(fake: Tensor) -> Tensor:
    """−log D of draws that are to pass as real, of the shape of their logits; nats.

    Example:
        >>> import torch
        >>> deception(torch.tensor(0.0))
        tensor(0.6931)
    """
    return softplus(-fake)


def detection(real: Tensor, *fakes: Tensor) -> Tensor:
    """The discriminator's loss [], a mean over real draws plus a mean over each kind of fakes; nats.

    Example:
        >>> import torch
        >>> detection(torch.zeros(3), torch.zeros(5))
        tensor(1.3863)
    """
    loss = softplus(-real).mean()
    for fake in fakes:
        loss = loss + softplus(fake).mean()
    return loss


def single_group(terms: Terms, what: str) -> Group:
    """The one group of latent variables.

    Raises:
        IncompatibleError: if there are several.
    """
    groups = list(terms.groups.values())
    if len(groups) != 1:
        raise IncompatibleError(
            f"{what} compares codes of one group of latent variables with draws of their prior, got {len(groups)} "
            "groups; use a DiagonalNormal posterior, or another with one group"
        )
    return groups[0]
