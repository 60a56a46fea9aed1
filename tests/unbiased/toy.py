r"""The toy problem of the REBAR paper, min_θ E_b[(b − t)²] with b ~ Bernoulli(θ), as a model of elbox.

p(x|z) = N(x; z, 1/2π) has log p(t|b) = −π (b − t)² without a constant, and β = 0 leaves the rate out. The posterior's
one logit is a parameter, and its gradient is known:

    ∂/∂l E[−π (b − t)²] = −π θ (1 − θ) (1 − 2t).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from elbox import ELBO, VAE
from elbox.estimators import Estimator
from elbox.likelihoods import FixedGaussian
from elbox.posteriors import BernoulliCode
from elbox.priors import BernoulliPrior

GOAL = ELBO(beta=0.0)


class Logit(nn.Module):
    """The same logit for every input."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.logit(torch.tensor(theta, dtype=torch.float64)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logit.expand(len(x), 1)


def model(theta: float) -> VAE:
    """E_b[−π (x − b)²], x the target t."""
    return VAE(
        BernoulliPrior(1),
        FixedGaussian(nn.Identity(), sigma=1 / math.sqrt(2 * math.pi)),
        BernoulliCode(Logit(theta), 1),
    ).double()


def target(t: float, copies: int = 1) -> Tensor:
    return torch.full((copies, 1), t, dtype=torch.float64)


def exact(theta: float, t: float) -> float:
    """The gradient of the objective, for the logit."""
    return -math.pi * theta * (1 - theta) * (1 - 2 * t)


class PerCopy(nn.Module):
    """A logit of its own for each copy of the target, all equal: their gradients are so many draws."""

    def __init__(self, theta: float, copies: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.logit(torch.full((copies, 1), theta, dtype=torch.float64)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits


def draws(how: Estimator, theta: float, t: float, copies: int = 100_000, seed: int = 0) -> Tensor:
    """Independent gradients of the objective for the logit, [copies]."""
    vae = model(theta)
    vae.posterior.net = PerCopy(theta, copies)
    torch.manual_seed(seed)
    loss = how.eval()(vae, target(t, copies), GOAL).loss
    return -copies * torch.autograd.grad(loss, vae.posterior.net.logits)[0][:, 0]


def fitted(how: Estimator, theta: float, t: float, steps: int = 400, lr: float = 0.03) -> Estimator:
    """The estimator after training its own parameters at this θ, on batches of 64."""
    vae = model(theta).requires_grad_(False)
    optimizer = torch.optim.Adam(how.parameters(), lr)
    vae.posterior.net.logit.requires_grad_()
    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        how.train()(vae, target(t, 64), GOAL).loss.backward()
        optimizer.step()
    return how
