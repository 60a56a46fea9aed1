"""The variational mixture of posteriors as prior."""

from __future__ import annotations

__all__ = ["VampPrior"]

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal
from zuko.lazy import LazyDistribution

from elbox.distributions import Delta, NormalMixture
from elbox.errors import DataError, IncompatibleError, check_number, check_whole
from elbox.parts import part


@part
class VampPrior(LazyDistribution):
    r"""p(z) = 1/K Σ_k q(z|u_k): a mixture of the posteriors of K learned pseudo-inputs u_k.

    It holds the model's own posterior, the same object, which then is part of the generative model too: its weights get
    the gradient of log p(z). Each step encodes the K pseudo-inputs beside the batch. u_k = offset + scale ⊙ v_k, so
    that the v_k, which are learned, are of order one whatever the unit of the data is; theirs are clamped to [0, 1],
    where the gradient vanishes beyond, ours are free. The v_k start as noise, or as training examples.

    Reference: Tomczak & Welling (2018), *VAE with a VampPrior* (the variational mixture of posteriors).

    Arguments:
        posterior: q(z|x), the model's own, with a density at any z.
        event_shape: Shape of one example.
        components: Number K of pseudo-inputs.
        offset: Typical location of the data, one number or one for each dimension (`DataSpec.offset`).
        scale: Typical spread of the data, likewise.
        noise: Spread of the v_k at the start.
        from_data: Start the u_k at training examples, which `elbox.fit` draws (`start`).

    Shapes:
        forward() → distribution over [D].

    Raises:
        IncompatibleError: if the posterior has no density, or there is a condition.

    Example:
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> q = DiagonalNormal(MLP(5, [8], (2, 2)), 2)
        >>> VampPrior(q, (5,), components=10)().log_prob(torch.zeros(3, 2)).shape
        torch.Size([3])
    """

    offset: Tensor
    scale: Tensor

    def __init__(
        self,
        posterior: nn.Module,
        event_shape: Sequence[int],
        components: int = 500,
        offset: float | tuple[float, ...] = 0.0,
        scale: float | tuple[float, ...] = 1.0,
        noise: float = 0.1,
        *,
        from_data: bool = False,
    ) -> None:
        super().__init__()
        check_whole("components", components)
        check_number("noise", noise)
        self.posterior, self.event_shape, self.from_data = posterior, tuple(event_shape), from_data
        self.inputs = nn.Parameter(noise * torch.randn(components, *self.event_shape))
        for name, value in (("offset", offset), ("scale", scale)):
            each = torch.as_tensor(value, dtype=torch.get_default_dtype()).expand(prod(self.event_shape))
            self.register_buffer(name, each.reshape(self.event_shape).clone(), persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        if c is not None:
            raise IncompatibleError(
                "got VampPrior with a condition, for which its pseudo-inputs would need conditions of their own; use a "
                "NormalMixture prior"
            )
        q = self.posterior(self.pseudo_inputs())
        if isinstance(q, Delta):
            raise IncompatibleError(
                f"got VampPrior of a {type(self.posterior).__name__} posterior, which has no density to be mixed; use "
                "a FittedMixture prior"
            )
        logits = torch.zeros_like(self.inputs.flatten(1)[:, 0])
        if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
            return NormalMixture(logits, q.base_dist.loc, q.base_dist.scale)
        return MixtureSameFamily(Categorical(logits=logits, validate_args=False), q, validate_args=False)

    def pseudo_inputs(self) -> Tensor:
        """u_k in units of the data, [K, *event]."""
        return self.offset + self.scale * self.inputs

    @torch.no_grad()
    def start(self, x: Tensor, codes: Callable[[], Tensor], seed: int = 0) -> None:
        """Start at K of these examples, if `from_data` says so.

        Arguments:
            x: Training examples [N, *event] with N ≥ K.
            codes: Returns their codes; not called.
            seed: Seed of the choice.

        Raises:
            DataError: if there are fewer examples than pseudo-inputs.
        """
        if not self.from_data:
            return
        self.check(len(x))
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: len(self.inputs)]
        self.inputs.copy_((x[chosen].to(self.inputs) - self.offset) / self.scale)

    def check(self, examples: int) -> None:
        """Refuse fewer examples than pseudo-inputs, if they are to start there.

        Raises:
            DataError: if there are too few.
        """
        if self.from_data and examples < len(self.inputs):
            raise DataError(
                f"got {examples} examples for {len(self.inputs)} pseudo-inputs; expected at least as many: use fewer "
                "components, or from_data=False"
            )
