"""What the likelihoods share: the shape of their network's output, and the kinds of data they accept."""

from __future__ import annotations

__all__ = ["REAL_LINE", "Likelihood", "one_spread"]

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.errors import IncompatibleError
from elbox.nn.standardize import affine
from elbox.spec import DataSpec

Number = float | tuple[float, ...]
REAL_LINE = ("real", "levels", "count", "unit", "positive")  # a density of real numbers is one of these too


class Likelihood(LazyDistribution):
    r"""Base of the likelihoods p(x|z).

    A subclass sets `kinds`, says what its network must put out in `output_shape` (as it is here: the event), and turns
    that output into a distribution in `forward`. `for_data` takes what it needs from the data's spec (as it is here:
    offset and scale).

    Attributes:
        kinds: Kinds of data that it describes.
        values: What its values are, for the message about data to which it gives no probability.
        density: Whether it gives a density, whose nats depend on the unit of the data, and no probability.
        of_batch: Whether log p(x|z) of one example depends, in training, on the others of its batch.
        robust: Whether log p(x|z) changes by at most 1 nat when one output of the network changes by 1, so that
            rounding the outputs to bfloat16 does no harm: true of logits, not of a mean of small standard deviation.
    """

    kinds: ClassVar[tuple[str, ...]] = ()
    values: ClassVar[str] = "values in its support"
    density: ClassVar[bool] = False
    robust: ClassVar[bool] = False
    of_batch: ClassVar[bool] = False
    net: nn.Module
    offset: Tensor
    scale: Tensor

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        """The shape that the network's output must have for data of this spec: parameters first, then the event."""
        return spec.event_shape

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> Likelihood:
        """The likelihood for data of this spec.

        Raises:
            IncompatibleError: if it cannot describe data of that kind.
        """
        cls.check(spec)
        return cls(net, spec.offset, spec.scale)

    @classmethod
    def check(cls, spec: DataSpec) -> None:
        """Refuse data of a kind that this likelihood cannot describe."""
        if spec.kind not in cls.kinds:
            raise IncompatibleError(
                f"{cls.__name__} describes {' or '.join(cls.kinds)} data, got {spec.kind} data; use "
                f"{DEFAULTS[spec.kind]}" + (", or binarise the data" if cls.__name__ == "Bernoulli" else "")
            )

    def event_dims(self, context: Any, h: Tensor) -> int:
        """Number of event dimensions of a network output h: all behind the batch dimensions of z."""
        z = context[0] if isinstance(context, tuple) else context
        return h.dim() - (z.dim() - 1)

    def set_units(self, offset: Number, scale: Number) -> None:
        """Keep location and spread of the data: one number, or one for each of the flattened dimensions."""
        for name, value in (("offset", offset), ("scale", scale)):
            shape = (len(value),) if isinstance(value, tuple) else ()
            self.register_buffer(name, affine(value, shape), persistent=False)

    def units(self, event: torch.Size) -> tuple[Tensor, Tensor]:
        """Offset and scale, broadcastable against the event's shape."""
        return tuple(t.reshape(event) if t.dim() else t for t in (self.offset, self.scale))  # type: ignore[return-value]

    def located(self, c: Any) -> tuple[Tensor, Tensor, int]:
        """Location offset + scale · net(z), the scale of the data, and the number of event dimensions."""
        h = self.net(c)
        dims = self.event_dims(c, h)
        offset, scale = self.units(h.shape[h.dim() - dims :])
        return offset + scale * h, scale, dims

    @abstractmethod
    def forward(self, c: Any = None) -> Distribution:
        """p(x|z) for z [..., D], or for a pair (z, c)."""


def one_spread(scale: Number) -> float:
    """One spread for all dimensions: the root mean square."""
    values = scale if isinstance(scale, tuple) else (scale,)
    return (sum(v * v for v in values) / len(values)) ** 0.5


DEFAULTS = {
    "binary": "Bernoulli",
    "levels": "DiscretizedLogistic",
    "real": "Gaussian",
    "count": "Poisson",
    "unit": "ContinuousBernoulli",
    "positive": "LogNormal",
    "complex": "ComplexGaussian",
}
