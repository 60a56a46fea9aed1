r"""The multinomial distribution of counts given their total."""

from __future__ import annotations

__all__ = ["Multinomial"]

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, constraints
from torch.types import _size

from elbox.distributions.saddle import deviance, positive, stirling_rest


class Multinomial(Distribution):
    r"""P(x | n) = n! Π_d π_d^{x_d} / x_d!, π = softmax(logits), for counts x with total n = Σ_d x_d.

    `log_prob(x)` takes n from x itself: it is the probability of a composition *given* its total, and for each n the
    probabilities of all compositions add up to 1. Samples and mean have the total `total`.

    It is computed as log P = R(n) − Σ_d (R(x_d) + D(x_d, n π_d)), in which nothing cancels; see
    `elbox.distributions.saddle`.

    Reference: Blei, Ng & Jordan (2003), *Latent Dirichlet allocation*, §3 (words given the length of the document).

    Arguments:
        logits: [..., *event].
        event_dims: Number of dimensions of the event, ≥ 1; π adds up to 1 over all of them.
        total: Total of samples and of the mean, a whole number ≥ 0.

    Example:
        >>> p = Multinomial(torch.zeros(3), event_dims=1, total=6)
        >>> p.mean, p.log_prob(torch.tensor([1.0, 1.0, 0.0])).exp()
        (tensor([2., 2., 2.]), tensor(0.2222))
    """

    arg_constraints = {"logits": constraints.real}

    def __init__(self, logits: Tensor, event_dims: int, total: int = 1) -> None:
        self.event_dims, self.total = event_dims, total
        self.log_shares = torch.log_softmax(logits.flatten(-event_dims), -1)
        split = logits.dim() - event_dims
        super().__init__(logits.shape[:split], logits.shape[split:], validate_args=False)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.nonnegative_integer, self.event_dims)

    def log_prob(self, value: Tensor) -> Tensor:
        counts = value.flatten(-self.event_dims)
        total, x = counts.sum(-1, keepdim=True), positive(counts)
        log_ratio = self.log_shares + torch.log(positive(total) / x)
        gap = self.log_shares.exp() * total - counts
        each = deviance(x, gap, log_ratio) + stirling_rest(counts)
        return stirling_rest(total.squeeze(-1)) - each.sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        words = Categorical(logits=self.log_shares, validate_args=False).sample((self.total, *sample_shape))
        counts = self.log_shares.new_zeros(*sample_shape, *self.log_shares.shape)
        counts.scatter_add_(-1, words.movedim(0, -1), torch.ones_like(words.movedim(0, -1), dtype=counts.dtype))
        return counts.unflatten(-1, self.event_shape)

    @property
    def mean(self) -> Tensor:
        return self.total * self.log_shares.exp().unflatten(-1, self.event_shape)
