r"""Negative binomial likelihoods, for counts that vary more than Poisson: plain, and with extra zeros.

Both have one inverse dispersion θ_d for each dimension, learned and the same for every z ("gene" dispersion in scVI),
and take the mean in one of two ways:

| `library` | mean | |
|---|---|---|
| False | μ_d = m_d exp(soft_clip(h_d(z))) | how large a row is in all is part of z |
| True | μ_d = ℓ softmax_d(log m + soft_clip(h(z))) | z says the composition; the size factor ℓ is given |

A size factor (library size, exposure, sequencing depth) is not a function of z, so it is *given*, as the condition: the
first column of c is log ℓ, and the network sees (z, the other columns of c), or z alone if there are none. Without a
condition ℓ = Σ_d m_d, the mean total of the training rows. log p(x|z, c) is then a probability of x for each ℓ. If ℓ is
taken to be the observed total of the row itself, as scvi-tools does by default, the model is of rows given their totals
and its nats do not compare with those of a model that has to predict the total; `Multinomial` is the likelihood made
for that.
"""

from __future__ import annotations

__all__ = ["NegativeBinomial", "ZeroInflatedNegativeBinomial"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from elbox import distributions
from elbox.distributions import soft_clip
from elbox.likelihoods.base import Likelihood, Number
from elbox.parts import part
from elbox.spec import DataSpec

FEW_ZEROS = -4.0  # log-odds of an extra zero where the network says nothing: 2 %


@part
class NegativeBinomial(Likelihood):
    r"""p(x_d = k|z) = NB(k; μ_d, θ_d), counts with mean μ_d and variance μ_d + μ_d²/θ_d.

    θ = θ₀ exp(soft_clip(·)) is learned for each dimension; θ₀ = m²/(s² − m), within [0.1, 100], gives the spread of the
    data around their mean. See the module's text for μ and the size factor.

    Reference: Lopez et al. (2018), *Deep generative modeling for single-cell transcriptomics*, Methods.

    Arguments:
        net: Network z → h of the event's shape.
        offset: Mean count m in each dimension (`DataSpec.offset`); at least 0.001.
        scale: Spread s of the counts in each dimension (`DataSpec.scale`).
        library: Whether the size factor is given by the condition.

    Shapes:
        z [..., D], or (z, c) with c [..., 1 + C], → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = NegativeBinomial(MLP(2, [], 3), library=True)
        >>> sizes = torch.tensor([[10.0], [30.0]])
        >>> p((torch.zeros(2, 2), sizes.log())).mean.sum(-1)
        tensor([10., 30.], grad_fn=<SumBackward1>)
    """

    kinds = ("count",)
    values = "whole numbers ≥ 0"

    def __init__(self, net: nn.Module, offset: Number = 1.0, scale: Number = 1.0, *, library: bool = False) -> None:
        super().__init__()
        self.net, self.library = net, library
        self.set_units(offset, scale)
        self.log_theta = nn.Parameter(torch.zeros(torch.broadcast_shapes(self.offset.shape, self.scale.shape)))

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> NegativeBinomial:
        cls.check(spec)
        return cls(net, *each_dimension(spec))

    def forward(self, c: Any = None) -> Distribution:
        context, log_size = given_size(c, library=self.library)
        h = self.net(context)
        dims = self.event_dims(c, h)
        typical, spread = self.units(h.shape[h.dim() - dims :])
        mu = mean_count(h, typical, dims, log_size, library=self.library)
        counts = distributions.NegativeBinomial(mu, dispersion(self.log_theta, typical, spread))
        return Independent(counts, dims, validate_args=False)


@part
class ZeroInflatedNegativeBinomial(Likelihood):
    r"""p(x_d = k|z) = π_d [k = 0] + (1 − π_d) NB(k; μ_d, θ_d), with logit π_d = g_d(z) − 4.

    For counts of which some are lost whatever their size (dropout); θ as for `NegativeBinomial`, and see the module's
    text for μ and the size factor, which is that before losses.

    Reference: Lopez et al. (2018), *Deep generative modeling for single-cell transcriptomics*, Methods.

    Arguments:
        net: Network z → (2, *event): h and g.
        offset: Mean count m in each dimension (`DataSpec.offset`); at least 0.001.
        scale: Spread s of the counts in each dimension (`DataSpec.scale`).
        library: Whether the size factor is given by the condition.

    Shapes:
        z [..., D], or (z, c) with c [..., 1 + C], → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = ZeroInflatedNegativeBinomial(MLP(2, [], (2, 3)), offset=(1.0, 2.0, 5.0))
        >>> p(torch.zeros(4, 2)).log_prob(torch.zeros(4, 3)).shape
        torch.Size([4])
    """

    kinds = ("count",)
    values = "whole numbers ≥ 0"

    def __init__(self, net: nn.Module, offset: Number = 1.0, scale: Number = 1.0, *, library: bool = False) -> None:
        super().__init__()
        self.net, self.library = net, library
        self.set_units(offset, scale)
        self.log_theta = nn.Parameter(torch.zeros(torch.broadcast_shapes(self.offset.shape, self.scale.shape)))

    @staticmethod
    def output_shape(spec: DataSpec) -> tuple[int, ...]:
        return (2, *spec.event_shape)

    @classmethod
    def for_data(cls, net: nn.Module, spec: DataSpec) -> ZeroInflatedNegativeBinomial:
        cls.check(spec)
        return cls(net, *each_dimension(spec))

    def forward(self, c: Any = None) -> Distribution:
        context, log_size = given_size(c, library=self.library)
        h = self.net(context)
        dims = self.event_dims(c, h) - 1
        h, logits = h.unbind(-dims - 1)
        typical, spread = self.units(h.shape[h.dim() - dims :])
        mu = mean_count(h, typical, dims, log_size, library=self.library)
        theta = dispersion(self.log_theta, typical, spread)
        counts = distributions.ZeroInflatedNegativeBinomial(mu, theta, logits + FEW_ZEROS)
        return Independent(counts, dims, validate_args=False)


def each_dimension(spec: DataSpec) -> tuple[Number, Number]:
    """Mean and spread of every dimension, so that each has a dispersion of its own."""
    mean, spread = spec.offset or 1.0, spec.scale
    return (
        mean if isinstance(mean, tuple) else (mean,) * spec.dims,
        spread if isinstance(spread, tuple) else (spread,) * spec.dims,
    )


def given_size(context: Any, *, library: bool) -> tuple[Any, Tensor | None]:
    """What the network sees, and log ℓ [..., 1] if it is given."""
    if not (library and isinstance(context, tuple)):
        return context, None
    z, c = context
    return (z if c.shape[-1] == 1 else (z, c[..., 1:])), c[..., :1]


def mean_count(h: Tensor, typical: Tensor, dims: int, log_size: Tensor | None, *, library: bool) -> Tensor:
    """μ from the network's output, in one of the two ways of the module's text."""
    typical = typical.clamp(min=0.001)
    if not library:
        return typical * soft_clip(h).exp()
    typical = typical.expand(h.shape[h.dim() - dims :])
    log_share = torch.log_softmax((typical.log() + soft_clip(h)).flatten(-dims), -1)
    log_size = typical.sum().log() if log_size is None else log_size
    return (log_size + log_share).exp().unflatten(-1, typical.shape)


def dispersion(log_theta: Tensor, typical: Tensor, spread: Tensor) -> Tensor:
    """θ of the event's shape, or one for all dimensions."""
    typical = typical.clamp(min=0.001)
    excess = (spread.square() - typical).clamp(min=1e-3 * typical.square())
    start = (typical.square() / excess).clamp(0.1, 100.0)
    log_theta = log_theta.reshape(start.shape) if log_theta.dim() else log_theta
    return start * soft_clip(log_theta).exp()
