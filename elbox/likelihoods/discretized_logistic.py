"""The discretised logistic likelihood, the default for grey levels and other ordered integers."""

from __future__ import annotations

__all__ = ["DiscretizedLogistic"]

from typing import Any

from torch import nn
from torch.distributions import Distribution, Independent

from elbox import distributions
from elbox.distributions import soft_clip
from elbox.errors import check_whole
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec


@part
class DiscretizedLogistic(Likelihood):
    r"""p(x_d = k | z) = σ((k + ½ − μ_d)/s_d) − σ((k − ½ − μ_d)/s_d), exact in the edge bins; see
    `elbox.distributions.DiscretizedLogistic`.

    A probability of the levels themselves, so its nats are comparable with any other model of the same levels, and
    divided by D log 2 they are bits/dim.

    Reference: Kingma et al. (2016), *Improving variational inference with inverse autoregressive flow*, appendix;
    Salimans et al. (2017), *PixelCNN++*, eq. 2.

    Arguments:
        net: Network z → (2, *event): m and r; μ = offset + scale · m, s = scale · exp(soft_clip(r)).
        levels: Number of levels L ≥ 2.
        offset: Location of the data in levels (`DataSpec.offset`).
        scale: Spread of the data in levels (`DataSpec.scale`).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Raises:
        SettingError: if there are fewer than 2 levels.

    Example:
        >>> import torch
        >>> from elbox.nn import MLP
        >>> p = DiscretizedLogistic(MLP(2, [], (2, 3)), levels=17)
        >>> p(torch.zeros(4, 2)).log_prob(torch.full((4, 3), 16.0)).shape
        torch.Size([4])
    """

    kinds = ("levels",)
    values = "levels 0 … L − 1 of the number that it was made for"

    def __init__(
        self,
        net: nn.Module,
        levels: int = 256,
        offset: Number = 0.0,
        scale: Number = 1.0,
    ) -> None:
        super().__init__()
        check_whole("levels", levels, 2)
        self.net, self.levels = net, levels
        self.set_units(offset, scale)

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        return (2, *spec.event_shape)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> DiscretizedLogistic:
        cls.check(spec)
        return cls(net, spec.levels, spec.offset, spec.scale)

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h) - 1
        mean, log_scale = h.unbind(-dims - 1)
        offset, scale = self.units(mean.shape[mean.dim() - dims :])
        logistic = distributions.DiscretizedLogistic(
            offset + scale * mean, scale * soft_clip(log_scale).exp(), self.levels
        )
        return Independent(logistic, dims, validate_args=False)
