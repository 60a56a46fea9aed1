"""log p(x, z) of a batch as a function of z alone, for methods that optimise or sample z without the encoder."""

from __future__ import annotations

__all__ = ["Joint", "batches", "check_real"]

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from elbox.distributions.support import real
from elbox.errors import IncompatibleError
from elbox.evaluate.chunks import bytes_written, rows_within
from elbox.evaluate.scope import Examples, like_model, on_device
from elbox.nn.bayesian import BayesianLinear

GRADIENT = 3  # a gradient takes about twice the bytes of the value, and both are alive


@dataclass(frozen=True)
class Joint:
    """log p(x, z) = log p(z) + log p(x|z) for examples x [B, *event], and codes z [K, B, D] of each of them.

    Arguments:
        model: A VAE.
        x: Examples [B, *event].
        c: Their condition, or None.
        prior: p(z), or p(z|c) with batch shape [B].
    """

    model: Any
    x: Tensor
    c: Any
    prior: Distribution

    @classmethod
    def of(cls, model: Any, x: Tensor, c: Any) -> Joint:
        """The joint density of a batch; a condition that the model computes from x is computed here, once."""
        given = model.given(x, c)
        return cls(model, x, given, model.prior(given))

    def __call__(self, z: Tensor) -> Tensor:
        return self.log_px(z) + self.prior.log_prob(z)

    def log_px(self, z: Tensor) -> Tensor:
        """log p(x|z), [K, B]."""
        return self.model.decode(z, c=self.c).log_prob(self.x)

    def posterior(self) -> Distribution:
        """The model's own q(z|x)."""
        return self.model.encode(self.x, c=self.c)

    def draws(self, count: int) -> Tensor:
        """Draws of the prior, [K, B, D]."""
        batch = () if self.prior.batch_shape else (len(self.x),)
        return self.prior.sample(torch.Size([count, *batch]))


def batches(
    model: Any,
    x: Examples,
    rows: int,
    memory: int,
    c: Tensor | None,
    work: Callable[[Joint], Any] | None = None,
) -> Iterator[tuple[slice, Joint]]:
    """Parts of the examples with their joint densities, small enough for the gradient of K codes of each of them.

    Arguments:
        model: A VAE.
        x: Data [N, *event].
        rows: K.
        memory: Budget in bytes for the tensors of one part, kept as long as one example fits into it.
        c: Condition [N, ...], or None.
        work: What is done with one code of each example, where it is more than p(x, z).
    """
    one = _part(model, x, slice(0, 1), c)
    z = one.draws(1)
    row = GRADIENT * bytes_written(lambda: one(z) if work is None else work(one))
    size = max(1, rows_within(memory, row, one.x.device) // rows)
    for start in range(0, len(x), size):
        part = slice(start, min(start + size, len(x)))
        joint = _part(model, x, part, c)
        if hasattr(model, "check"):
            model.check(joint.x, c=joint.c, first=start)
        yield part, joint


def _part(model: Any, x: Examples, rows: slice, c: Tensor | None) -> Joint:
    return Joint.of(model, like_model(model, x[rows]), on_device(model, c, rows))


def check_real(model: Any, who: str, c: Any) -> None:
    """Refuse a model on whose latent variables no gradient of a density moves.

    Arguments:
        model: A model.
        who: What was asked for, for the message.
        c: The condition of one example, or None.

    Raises:
        IncompatibleError: if it has no density, random weights, or latent variables that are not real numbers.
    """
    if getattr(model, "deterministic", False):
        raise IncompatibleError(
            f"got {who} on an autoencoder, whose deterministic code has no density; train a VAE, e.g. the recipe vae"
        )
    if any(isinstance(module, BayesianLinear) for module in model.modules()):
        raise IncompatibleError(
            f"got {who} on a model with random weights, whose p(x|z) is another each time; use log_likelihood, which "
            "integrates over them"
        )
    if not real(model.prior(c)):
        raise IncompatibleError(
            f"got {who} on a model whose latent variables are codes, bounded or on a curved space; expected real "
            "numbers, which can be moved along a gradient; use log_likelihood with many samples, or enumerate codes "
            "with the estimator Enumerated()"
        )
