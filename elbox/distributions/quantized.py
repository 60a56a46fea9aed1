"""A quantised code: all mass at one point of a finite set, the posterior of a VQ-VAE."""

from __future__ import annotations

__all__ = ["Quantized", "Vectors"]

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size


class Vectors(constraints.Constraint):
    """The finite set of vectors that a codebook has for its codes."""

    is_discrete, event_dim = True, 1

    def __init__(self, codebook: Any) -> None:
        self.codebook = codebook

    def check(self, value: Tensor) -> Tensor:
        return (self.codebook(self.codebook.codes(value)) == value).all(-1)


class Quantized(Distribution):
    r"""q(z|x) = 1 at z = e(codes) and 0 elsewhere: a probability on the finite set of a codebook's vectors.

    KL(q ‖ p) = −log p(z), so that log p(x|z) + log p(z) is a bound on log p(x). The codes are found by a search, which
    has no derivative: `straight_through` is the same point with the gradient of what was quantised, z_e + sg(z − z_e),
    where sg holds its argument fixed.

    Reference: van den Oord, Vinyals & Kavukcuoglu (2017), *Neural discrete representation learning*, eq. 1 and 2, §3.2.

    Arguments:
        encoded: z_e, what was quantised, [..., P, d] for P positions.
        value: z, flat [..., L·P·d] for L levels whose sum over levels stands for z_e; its gradient is the codebook's.
        codes: Whole numbers [..., P, L].
        codebook: What found the codes; maps codes to z and back.

    Example:
        >>> from elbox.nn import FiniteScalar
        >>> levels = FiniteScalar((3, 3))
        >>> encoded, codes = levels.quantize(torch.tensor([[[0.1, 5.0]]], requires_grad=True))
        >>> q = Quantized(encoded, levels(codes), codes, levels)
        >>> q.codes, q.sample(), q.log_prob(q.sample())
        (tensor([[[7]]]), tensor([[0., 1.]]), tensor([0.]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, encoded: Tensor, value: Tensor, codes: Tensor, codebook: Any) -> None:
        self.encoded, self.value, self.codes, self.codebook = encoded, value, codes, codebook
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return Vectors(self.codebook)

    @property
    def straight_through(self) -> Tensor:
        """z, with the gradient of z_e: that of the sum over levels, which reaches z_e through the first."""
        nothing = (self.encoded - self.encoded.detach()).flatten(-2)
        return self.value.detach() + F.pad(nothing, (0, self.value.shape[-1] - nothing.shape[-1]))

    @property
    def mean(self) -> Tensor:
        return self.straight_through

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.value)

    @property
    def errors(self) -> tuple[Tensor, Tensor]:
        r"""What is left of z_e after each level, r_l = z_e − Σ_{i≤l} e_i, [..., L, P, d] each.

        First with the gradient of z_e alone, then with that of each e_l alone.
        """
        levels = self.value.unflatten(-1, (self.codes.shape[-1], *self.encoded.shape[-2:]))
        sums, encoded = levels.detach().cumsum(-3), self.encoded.unsqueeze(-3)
        return encoded - sums, encoded.detach() - (sums - levels.detach()) - levels

    def detached(self) -> Quantized:
        """The same with no gradient."""
        return Quantized(self.encoded.detach(), self.value.detach(), self.codes, self.codebook)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        return self.value.detach().expand(*sample_shape, *self.value.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        hit = (value == self.value).all(-1)
        return torch.zeros_like(hit, dtype=self.value.dtype).masked_fill(~hit, -torch.inf)
