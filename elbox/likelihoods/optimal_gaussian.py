"""The σ-VAE's Gaussian likelihood, whose variance is the mean squared error in closed form."""

from __future__ import annotations

__all__ = ["OptimalGaussian"]

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from elbox.distributions import diagonal_normal
from elbox.likelihoods.base import REAL_LINE, Likelihood, Number
from elbox.parts import part

FLOOR = 1e-8  # of the mean squared error, in units of scale²
SLOWEST = 0.05  # share of the latest batch in what is remembered, once there were twenty


@part
class OptimalGaussian(Likelihood):
    r"""p(x|z) = N(x; μ(z), σ² diag(scale²)) with σ² = mean of (x − μ)²/scale² over batch, samples and dimensions.

    That σ² maximises the likelihood of the batch, so nothing has to be learned and there is no weight between
    reconstruction and rate to choose. At the optimum the derivative to σ vanishes: the network's gradient is the same
    whether σ² is differentiated or not, and it is held constant.

    In training (`.train()`) log p(x|z) is therefore a function of the whole batch, and no density of one example. Each
    training batch is remembered in a running mean of the σ² (the mean of the first 20 batches, then with a memory of
    about 20); in evaluation (`.eval()`), and in all samples, σ² is that number, saved with the weights, and p(x|z) a
    density that depends on nothing else. `Gaussian` learns the same σ by gradient, and is a density throughout.

    Reference: Rybkin et al. (2021), *Simple and effective VAE training with calibrated decoders* (its optimal σ-VAE).

    Arguments:
        net: Network z → standardised mean, of the event's shape; μ = offset + scale · net(z).
        offset: Location of the data (`DataSpec.offset`).
        scale: Spread of the data (`DataSpec.scale`).

    Shapes:
        z [..., D] → distribution with batch shape [...] over the event.

    Example:
        >>> from elbox.nn import MLP
        >>> p = OptimalGaussian(MLP(2, [], 3))
        >>> _ = p(torch.zeros(4, 2)).log_prob(2 * torch.ones(4, 3))  # a training batch with an error of 2 everywhere
        >>> p.eval()(torch.zeros(4, 2)).stddev[0]
        tensor([2., 2., 2.])
    """

    kinds = REAL_LINE
    of_batch = True
    values = "finite real numbers"
    density = True
    square: Tensor
    batches: Tensor

    def __init__(self, net: nn.Module, offset: Number = 0.0, scale: Number = 1.0) -> None:
        super().__init__()
        self.net = net
        self.set_units(offset, scale)
        self.register_buffer("square", torch.ones(()))  # σ², remembered
        self.register_buffer("batches", torch.zeros(()))

    def forward(self, c: Any = None) -> Distribution:
        mean, scale, dims = self.located(c)
        normal = Normal(mean, (scale * self.square.sqrt()).expand_as(mean), validate_args=False)
        return _OfBatch(normal, dims, self, scale) if self.training else Independent(normal, dims, validate_args=False)

    @torch.no_grad()
    def remember(self, square: Tensor) -> None:
        """Take the σ² of one more batch into the running mean."""
        self.batches.add_(1)
        self.square.lerp_(square, (1 / self.batches).clamp(min=SLOWEST))


class _OfBatch(Independent):
    """The remembered normal distribution, but that log p(x) is under the best σ² for just these x."""

    base_dist: Normal

    def __init__(self, normal: Normal, dims: int, likelihood: OptimalGaussian, scale: Tensor) -> None:
        super().__init__(normal, dims, validate_args=False)
        self.likelihood, self.scale = likelihood, scale

    def log_prob(self, value: Tensor) -> Tensor:
        mean = self.base_dist.loc
        square = ((value - mean) / self.scale).detach().square().mean().clamp(min=FLOOR)
        self.likelihood.remember(square)
        sigma = (self.scale * square.sqrt()).expand_as(mean)
        return diagonal_normal(mean, sigma, self.reinterpreted_batch_ndims).log_prob(value)
