"""The distribution of f(u) with u from a base distribution: what a flow makes of it, in the direction of sampling."""

from __future__ import annotations

__all__ = ["Pushforward"]

from typing import Any

import zuko.transforms  # noqa: F401 (gives every Transform its call_and_ladj)
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from elbox.errors import IncompatibleError


class Pushforward(Distribution):
    r"""z = f(u) with u ~ p(u): log q(z) = log p(u) − log |det ∂f/∂u|.

    `rsample_and_log_prob` scores a draw by its own u, so that f is never inverted. `log_prob` is for z from elsewhere,
    and takes the inverse of f: nothing is remembered of earlier draws. (`zuko.distributions.NormalizingFlow` is the
    same in the other direction, from z to u.)

    Reference: Rezende & Mohamed (2015), *Variational inference with normalizing flows*, §3.1.

    Arguments:
        base: p(u), over real vectors [D], with `rsample`.
        transform: f, a `torch.distributions.Transform` of real vectors; `bijective=False` says that it has no inverse
            to call.

    Raises:
        IncompatibleError: by `log_prob`, if f has no inverse to call.

    Example:
        >>> import torch
        >>> from torch.distributions import ExpTransform, TanhTransform
        >>> from elbox.distributions import diagonal_normal
        >>> q = Pushforward(diagonal_normal(torch.zeros(2), torch.ones(2)), zuko.transforms.LULinearTransform(
        ...     torch.tensor([[2.0, 0.0], [1.0, 0.5]])))
        >>> z, log_qz = q.rsample_and_log_prob((3,))
        >>> torch.allclose(log_qz, q.log_prob(z), atol=1e-5)
        True
    """

    arg_constraints: dict[str, Any] = {}
    has_rsample = True
    support = constraints.real_vector

    def __init__(self, base: Distribution, transform: Any) -> None:
        self.base, self.transform = base, transform
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def expand(self, batch_shape: _size, _instance: Any = None) -> Pushforward:
        return Pushforward(self.base.expand(batch_shape), self.transform)

    def rsample(self, sample_shape: _size = Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        z: Tensor = self.transform(self.base.rsample(sample_shape))
        return z

    def rsample_and_log_prob(self, sample_shape: _size = Size()) -> tuple[Tensor, Tensor]:  # noqa: B008
        """z and log q(z) in one pass, by name what zuko's flows have."""
        u = self.base.rsample(sample_shape)
        z, log_det = self.transform.call_and_ladj(u)
        return z, self.base.log_prob(u) - log_det

    def log_prob(self, z: Tensor) -> Tensor:
        if not self.transform.bijective:
            raise IncompatibleError(
                "got a posterior of steps without an inverse to call, so that log q(z|x) is known for its own draws "
                "alone; use Reparameterized() with ELBO() or IWAE(), or a DiagonalNormal posterior"
            )
        u, log_det = self.transform.inv.call_and_ladj(z)
        return self.base.log_prob(u) + log_det
