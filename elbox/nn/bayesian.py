r"""Networks whose weights are random: a distribution over each, instead of a number.

What is learned is q(w) = Π_i N(w_i; m_i, s_i²), an approximation to the posterior of the weights given all data, and
KL(q(w) ‖ p(w)) against p(w) = N(0, scale²) is part of the bound on the evidence of the data set
(`elbox.estimators.BayesianWeights`).
"""

from __future__ import annotations

__all__ = ["Bayesian", "BayesianLinear"]

import math
from typing import Any

import torch
import zuko
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import linear

from elbox.distributions import soft_clip
from elbox.errors import IncompatibleError, SettingError
from elbox.parts import part


@part
class BayesianLinear(nn.Module):
    r"""h = W x + b with W_ij ~ N(m_ij, s_ij²) and b_i likewise, sampled where it is cheapest, at h.

    h_i ~ N( Σ_j m_ij x_j + m_i, Σ_j s_ij² x_j² + s_i² ), independent over i and over rows: the *local
    reparameterisation*. Each row of a batch has weights of its own, in training and in evaluation; with K samples of
    each example their mean is one over q(w) too.

    Reference: Kingma, Salimans & Welling (2015), *Variational dropout and the local reparameterization trick*, §2.3;
    Kingma & Welling (2014), *Auto-encoding variational Bayes*, appendix F.

    Arguments:
        inputs: Number of inputs.
        outputs: Number of outputs.
        scale: Standard deviation of the prior p(w) = N(0, scale²) of every weight and bias, > 0.
        spread: Standard deviation s of every weight at the start, > 0.00005.

    Shapes:
        x [..., inputs] → h [..., outputs].

    Raises:
        SettingError: if `scale` or `spread` is too small.

    Example:
        >>> layer = BayesianLinear(3, 2)
        >>> layer(torch.ones(4, 3)).shape, bool(layer.kl() > 0)
        (torch.Size([4, 2]), True)
    """

    def __init__(self, inputs: int, outputs: int, scale: float = 1.0, spread: float = 0.1) -> None:
        super().__init__()
        if not (scale > 0 and spread > 5e-5):  # soft_clip goes no lower
            raise SettingError(f"got scale={scale}, spread={spread}; expected positive numbers, spread above 5e-5")
        self.inputs, self.outputs, self.scale = inputs, outputs, scale
        self.mean = nn.Parameter(nn.init.xavier_uniform_(torch.empty(outputs, inputs)))
        self.bias_mean = nn.Parameter(torch.zeros(outputs))
        start = math.log(spread) / (1 - abs(math.log(spread)) / 10)  # the inverse of soft_clip
        self.log_spread = nn.Parameter(torch.full((outputs, inputs), start))
        self.bias_log_spread = nn.Parameter(torch.full((outputs,), start))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.posterior()
        mean = linear(x, weight.mean, bias.mean)
        variance = linear(x.square(), weight.variance, bias.variance)
        return mean + variance.sqrt() * torch.randn_like(mean)

    def posterior(self) -> tuple[Normal, Normal]:
        """q of each weight [outputs, inputs], and of each bias [outputs]."""
        return (
            Normal(self.mean, soft_clip(self.log_spread).exp(), validate_args=False),
            Normal(self.bias_mean, soft_clip(self.bias_log_spread).exp(), validate_args=False),
        )

    def kl(self) -> Tensor:
        """KL(q(w) ‖ p(w)) of all weights and biases, [], nats."""
        prior = Normal(torch.zeros_like(self.bias_mean[:1]), self.scale, validate_args=False)
        return sum((kl_divergence(q, prior).sum() for q in self.posterior()), torch.zeros_like(self.bias_mean[0]))


@part
class Bayesian(nn.Module):
    r"""A network with a distribution over its weights: every linear layer becomes a `BayesianLinear`.

    The means begin at the network's weights. Its output is random, in training and in evaluation alike.

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, appendix F; Blundell et al. (2015), *Weight
    uncertainty in neural networks*, §3.

    Arguments:
        net: A network of linear layers, such as `MLP`; it is changed in place.
        scale: Standard deviation of the prior p(w) = N(0, scale²) of every weight and bias, > 0.
        spread: Standard deviation of every weight at the start, > 0.00005.

    Shapes:
        as the network's.

    Raises:
        IncompatibleError: if the network has other parameters than those of linear layers.

    Example:
        >>> from elbox.nn import MLP
        >>> net = Bayesian(MLP(2, [8], (1, 4, 4)))
        >>> net(torch.zeros(3, 2)).shape, len(net.layers)
        (torch.Size([3, 1, 4, 4]), 2)
    """

    def __init__(self, net: nn.Module, scale: float = 1.0, spread: float = 0.1) -> None:
        super().__init__()
        self.net = net
        for parent in list(net.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, nn.Linear | zuko.nn.Linear):
                    setattr(parent, name, _random(layer, scale, spread))
        known = {id(p) for layer in self.layers for p in layer.parameters()}
        other = [name for name, p in net.named_parameters() if id(p) not in known]
        if other or not known:
            raise IncompatibleError(
                f"got a {type(net).__name__} with {other[0] if other else 'no weights'}; expected a network of linear "
                "layers alone; use MLP"
            )

    @property
    def layers(self) -> list[BayesianLinear]:
        """Its random layers."""
        return [m for m in self.net.modules() if isinstance(m, BayesianLinear)]

    def forward(self, x: Any) -> Tensor:
        return self.net(x)


def _random(layer: nn.Linear | zuko.nn.Linear, scale: float, spread: float) -> BayesianLinear:
    made = BayesianLinear(layer.weight.shape[-1], layer.weight.shape[-2], scale, spread)
    with torch.no_grad():
        made.mean.copy_(layer.weight)
        if layer.bias is not None:
            made.bias_mean.copy_(layer.bias)
    return made
