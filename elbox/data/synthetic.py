r"""Data whose evidence \(\log p(x)\) is known exactly, to hold every bound and estimate against.

Each function draws a set and returns it with its parameters and `log_evidence(x) -> [N]`, in nats, float64.
"""

from __future__ import annotations

__all__ = [
    "Banana",
    "BeliefNet",
    "LinearGaussian",
    "Mixture",
    "banana",
    "belief_net",
    "linear_gaussian",
    "mixture",
]

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal
from torch.nn.functional import logsigmoid

from elbox.errors import SettingError, ShapeError


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _positive(**sizes: float) -> None:
    for name, value in sizes.items():
        if value <= 0:
            raise SettingError(f"got {name}={value}; expected a number above 0")


def _rows(x: Tensor, dims: int) -> Tensor:
    """Rows [N, D] in float64."""
    if x.ndim != 2 or x.shape[1] != dims:
        raise ShapeError(f"got x of shape {tuple(x.shape)}; expected [N, {dims}]")
    return x.double()


@dataclass(frozen=True, eq=False)
class LinearGaussian:
    r"""\(z \sim \mathcal N(0, I_H)\), \(x \mid z \sim \mathcal N(W z, σ^2 I_D)\): probabilistic PCA with zero mean.

    $$p(x) = \mathcal N(0,\, W W^\top + σ^2 I), \qquad
      p(z \mid x) = \mathcal N(M^{-1} W^\top x,\, σ^2 M^{-1}), \quad M = W^\top W + σ^2 I$$

    Reference: Tipping & Bishop, Probabilistic Principal Component Analysis, 1999, equations 3 and 6.

    Arguments:
        x: Rows [N, D] float32.
        W: Loadings [D, H] float64.
        noise: Standard deviation σ.
    """

    x: Tensor
    W: Tensor
    noise: float

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) [N] of rows [N, D]."""
        covariance = self.W @ self.W.T + self.noise**2 * torch.eye(len(self.W), dtype=torch.float64)
        return MultivariateNormal(torch.zeros(len(self.W), dtype=torch.float64), covariance).log_prob(
            _rows(x, len(self.W))
        )

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z | x) with mean [N, H] and one covariance [H, H]."""
        M = self.W.T @ self.W + self.noise**2 * torch.eye(self.W.shape[1], dtype=torch.float64)
        mean = torch.linalg.solve(M, self.W.T @ _rows(x, len(self.W)).T).T
        return MultivariateNormal(mean, self.noise**2 * torch.linalg.inv(M))


def linear_gaussian(
    n: int = 10_000, dims: int = 8, latent: int = 2, noise: float = 0.5, seed: int = 0
) -> LinearGaussian:
    """Draws from a linear-Gaussian model with random loadings.

    Arguments:
        n: Number of rows N.
        dims: Number of columns D.
        latent: Number of latents H.
        noise: Standard deviation of the noise.
        seed: Seed of loadings and rows.

    Example:
        >>> known = linear_gaussian(n=100, dims=5, latent=2)
        >>> known.x.shape, known.log_evidence(known.x).shape
        (torch.Size([100, 5]), torch.Size([100]))
    """
    _positive(n=n, dims=dims, latent=latent, noise=noise)
    g = _generator(seed)
    W = torch.randn(dims, latent, generator=g, dtype=torch.float64)
    z = torch.randn(n, latent, generator=g, dtype=torch.float64)
    x = z @ W.T + noise * torch.randn(n, dims, generator=g, dtype=torch.float64)
    return LinearGaussian(x.float(), W, noise)


@dataclass(frozen=True, eq=False)
class Mixture:
    r"""A mixture of isotropic Gaussians, \(p(x) = \sum_k w_k\, \mathcal N(x; μ_k, s^2 I)\).

    Arguments:
        x: Rows [N, D] float32.
        y: Component of each row [N] int64.
        weights: \(w\) [K] float64, which add up to 1.
        means: \(μ\) [K, D] float64.
        spread: Standard deviation s of every component.
    """

    x: Tensor
    y: Tensor
    weights: Tensor
    means: Tensor
    spread: float

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) [N] of rows [N, D]."""
        rows = _rows(x, self.means.shape[1])
        each = Normal(self.means, self.spread).log_prob(rows[:, None]).sum(-1)
        return torch.logsumexp(each + self.weights.log(), dim=1)


def mixture(n: int = 10_000, dims: int = 2, components: int = 8, spread: float = 0.2, seed: int = 0) -> Mixture:
    """Draws from a mixture of Gaussians of equal weight: on a circle of radius 2 in the plane, else in random
    directions.

    Arguments:
        n: Number of rows N.
        dims: Number of columns D.
        components: Number of Gaussians K.
        spread: Standard deviation of each.
        seed: Seed of means and rows.

    Example:
        >>> known = mixture(n=100)
        >>> known.x.shape, known.means.shape
        (torch.Size([100, 2]), torch.Size([8, 2]))
    """
    _positive(n=n, dims=dims, components=components, spread=spread)
    g = _generator(seed)
    if dims == 2:
        angle = 2 * math.pi * torch.arange(components, dtype=torch.float64) / components
        means = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    else:
        means = 2 * torch.nn.functional.normalize(
            torch.randn(components, dims, generator=g, dtype=torch.float64), dim=1
        )
    weights = torch.full((components,), 1 / components, dtype=torch.float64)
    y = torch.randint(components, (n,), generator=g)
    x = means[y] + spread * torch.randn(n, dims, generator=g, dtype=torch.float64)
    return Mixture(x.float(), y, weights, means, spread)


@dataclass(frozen=True, eq=False)
class Banana:
    r"""A Gaussian bent along a parabola: \(x_1 = z_1\), \(x_2 = s z_2 + b (z_1^2 - 1)\) with \(z \sim \mathcal N(0,
    I_2)\).

    The map is triangular with Jacobian determinant s, so

    $$p(x) = \mathcal N(x_1; 0, 1)\; \mathcal N(x_2;\, b (x_1^2 - 1),\, s^2)$$

    Reference: Haario, Saksman & Tamminen, Adaptive proposal distribution for random walk Metropolis algorithm, 1999.

    Arguments:
        x: Rows [N, 2] float32.
        bend: Curvature b.
        spread: Standard deviation s across the parabola.
    """

    x: Tensor
    bend: float
    spread: float

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) [N] of rows [N, 2]."""
        x1, x2 = _rows(x, 2).unbind(dim=1)
        return Normal(0.0, 1.0).log_prob(x1) + Normal(self.bend * (x1**2 - 1), self.spread).log_prob(x2)


def banana(n: int = 10_000, bend: float = 1.0, spread: float = 0.3, seed: int = 0) -> Banana:
    """Draws from a bent Gaussian in the plane.

    Arguments:
        n: Number of rows N.
        bend: Curvature.
        spread: Standard deviation across the parabola.
        seed: Seed of the rows.

    Example:
        >>> banana(n=100).x.shape
        torch.Size([100, 2])
    """
    _positive(n=n, spread=spread)
    z1, z2 = torch.randn(n, 2, generator=_generator(seed), dtype=torch.float64).unbind(dim=1)
    return Banana(torch.stack([z1, spread * z2 + bend * (z1**2 - 1)], dim=1).float(), bend, spread)


@dataclass(frozen=True, eq=False)
class BeliefNet:
    r"""A sigmoid belief net with so few binary latents that all their states can be enumerated.

    $$z_h \sim \mathrm{Bernoulli}(π_h), \quad x_d \mid z \sim \mathrm{Bernoulli}(\mathrm{sigmoid}(W_d z + c_d)), \qquad
      p(x) = \sum_{z \in \{0, 1\}^H} p(z)\, p(x \mid z)$$

    Reference: Neal, Connectionist learning of belief networks, 1992.

    Arguments:
        x: Rows of zeros and ones [N, D] float32.
        W: Weights [D, H] float64.
        bias: \(c\) [D] float64.
        prior: \(π\) [H] float64.
    """

    x: Tensor
    W: Tensor
    bias: Tensor
    prior: Tensor

    def states(self) -> Tensor:
        """All latent states [2^H, H]."""
        bits = torch.arange(2 ** len(self.prior))[:, None] >> torch.arange(len(self.prior))
        return (bits & 1).double()

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, z) [2^H, N] of rows [N, D] with every state."""
        rows, z = _rows(x, len(self.bias)), self.states()
        log_pz = z @ self.prior.log() + (1 - z) @ torch.log1p(-self.prior)
        logits = z @ self.W.T + self.bias
        return log_pz[:, None] + logsigmoid(logits) @ rows.T + logsigmoid(-logits) @ (1 - rows).T

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) [N] of rows [N, D]."""
        return torch.logsumexp(self.log_joint(x), dim=0)


def belief_net(n: int = 10_000, dims: int = 16, latent: int = 6, seed: int = 0) -> BeliefNet:
    """Draws from a sigmoid belief net with random weights.

    Arguments:
        n: Number of rows N.
        dims: Number of binary columns D.
        latent: Number of binary latents H, at most 10.
        seed: Seed of weights and rows.

    Example:
        >>> known = belief_net(n=100, dims=5, latent=3)
        >>> known.states().shape, known.log_evidence(known.x).shape
        (torch.Size([8, 3]), torch.Size([100]))
    """
    _positive(n=n, dims=dims, latent=latent)
    if latent > 10:
        raise SettingError(f"got latent={latent}; expected at most 10, since all 2^latent states are enumerated")
    g = _generator(seed)
    W = 3 * torch.randn(dims, latent, generator=g, dtype=torch.float64)
    bias = torch.randn(dims, generator=g, dtype=torch.float64) - W.sum(dim=1) / 2
    prior = 0.2 + 0.6 * torch.rand(latent, generator=g, dtype=torch.float64)
    z = torch.bernoulli(prior.expand(n, -1), generator=g)
    x = torch.bernoulli(torch.sigmoid(z @ W.T + bias), generator=g)
    return BeliefNet(x.float(), W, bias, prior)
