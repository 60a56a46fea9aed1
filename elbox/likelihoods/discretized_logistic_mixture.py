"""Mixtures of discretised logistic distributions, for levels whose distribution given z has several peaks."""

from __future__ import annotations

__all__ = ["DiscretizedLogisticMixture"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily

from elbox.distributions import DiscretizedLogistic, RGBLogisticMixture, soft_clip
from elbox.errors import check_whole
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec

COMPONENTS = 10  # as in the reference implementation; a network of other width has others


@part
class DiscretizedLogisticMixture(Likelihood):
    r"""p(x_d = l | z) = Σ_k π_dk [σ((l + ½ − μ_dk)/s_dk) − σ((l − ½ − μ_dk)/s_dk)], each exact in the edge bins.

    For RGB images the three colours of a pixel share a component, and green depends linearly on red, and blue on both:
    see `elbox.distributions.RGBLogisticMixture`. Other data have independent dimensions given z.

    Locations are μ_k = offset + scale (m_k + t_k), where the t_k are spread evenly over [−1, 1], so that components do
    not start as one; s = scale · exp(soft_clip(r)); the coefficients of colours are tanh of the network's output.

    Reference: Salimans et al. (2017), *PixelCNN++*, §2.1 and §2.2.

    Arguments:
        net: Network z → (3K, *event) for K components: K logits of π, K locations, K log-scales. For RGB images
            z → (10K, 1, H, W): K logits, 3K locations, 3K log-scales and 3K coefficients, each colour by colour.
        levels: Number of levels L ≥ 2.
        offset: Location of the data in levels (`DataSpec.offset`).
        scale: Spread of the data in levels (`DataSpec.scale`).
        rgb: Whether the event is an RGB image (3, H, W) whose colours are to depend on each other.

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Raises:
        SettingError: if there are fewer than 2 levels.

    Example:
        >>> from elbox.nn import MLP
        >>> p = DiscretizedLogisticMixture(MLP(2, [], (3 * 5, 4)), levels=17)  # 5 components
        >>> p(torch.zeros(7, 2)).log_prob(torch.full((7, 4), 16.0)).shape
        torch.Size([7])
    """

    kinds = ("levels",)
    values = "levels 0 … L − 1 of the number that it was made for"

    def __init__(
        self, net: nn.Module, levels: int = 256, offset: Number = 0.0, scale: Number = 1.0, *, rgb: bool = False
    ) -> None:
        super().__init__()
        check_whole("levels", levels, 2)
        self.net, self.levels, self.rgb = net, levels, rgb
        self.set_units(offset, scale)

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        if _is_rgb(spec):
            return (10 * COMPONENTS, 1, *spec.event_shape[1:])
        return (3 * COMPONENTS, *spec.event_shape)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> DiscretizedLogisticMixture:
        cls.check(spec)
        return cls(net, spec.levels, spec.offset, spec.scale, rgb=_is_rgb(spec))

    def forward(self, c: Any = None) -> Distribution:
        h = self.net(c)
        dims = self.event_dims(c, h) - 1
        return self._colours(h) if self.rgb else self._single(h, dims)

    def _single(self, h: Tensor, dims: int) -> Distribution:
        """Dimensions are independent: a mixture in each, its components along a last axis."""
        logits, m, r = h.unflatten(-dims - 1, (3, -1)).movedim(-dims - 1, -1).unbind(-dims - 2)
        offset, scale = (t.unsqueeze(-1) for t in self.units(h.shape[h.dim() - dims :]))
        levels = DiscretizedLogistic(offset + scale * (m + _apart(m)), scale * soft_clip(r).exp(), self.levels)
        mixture = MixtureSameFamily(Categorical(logits=logits, validate_args=False), levels, validate_args=False)
        return Independent(mixture, dims, validate_args=False)

    def _colours(self, h: Tensor) -> Distribution:
        """The network's output [..., 10K, 1, H, W] as parameters of one mixture for each pixel."""
        logits, m, r, a = h.squeeze(-3).unflatten(-3, (10, -1)).split((1, 3, 3, 3), -4)
        offset, scale = (
            t.unsqueeze(1) if t.dim() else t for t in self.units(torch.Size((3, *h.shape[-2:])))
        )  # [3, 1, H, W]
        nodes = _apart(m.movedim(-3, -1))[:, None, None]
        return RGBLogisticMixture(
            logits.squeeze(-4), offset + scale * (m + nodes), scale * soft_clip(r).exp(), a.tanh(), offset, self.levels
        )


def _is_rgb(spec: DataSpec) -> bool:
    return spec.is_image and spec.event_shape[0] == 3


def _apart(m: Tensor) -> Tensor:
    """t_1 … t_K for K components along the last axis, evenly over [−1, 1]."""
    components = m.shape[-1]
    ends = torch.linspace(-1, 1, components) if components > 1 else torch.zeros(1)
    return ends.to(m)
