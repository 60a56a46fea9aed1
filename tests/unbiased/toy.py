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


class Logits(nn.Module):
    """The same logits for all rows of the input, or a row of its own for each: so many independent gradients."""

    def __init__(self, theta: float, bits: int, copies: int = 1) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.logit(torch.full((copies, bits), theta, dtype=torch.float64)))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


def model(theta: float, bits: int = 1, copies: int = 1) -> VAE:
    """E_b[−π Σ_d (x_d − b_d)²], x the targets t."""
    likelihood = FixedGaussian(nn.Identity(), sigma=1 / math.sqrt(2 * math.pi))
    return VAE(BernoulliPrior(bits), likelihood, BernoulliCode(Logits(theta, bits, copies), bits)).double()


def target(t: float, copies: int = 1, bits: int = 1) -> Tensor:
    return torch.full((copies, bits), t, dtype=torch.float64)


def exact(theta: float, t: float) -> float:
    """The gradient of the objective, for each logit."""
    return -math.pi * theta * (1 - theta) * (1 - 2 * t)


def draws(how: Estimator, theta: float, t: float, copies: int = 100_000, bits: int = 1) -> Tensor:
    """Independent gradients of the objective for the logits, [copies, bits]."""
    vae = model(theta, bits, copies)
    if isinstance(how, nn.Module):
        how.eval()
    torch.manual_seed(0)
    loss = how(vae, target(t, copies, bits), GOAL).loss
    return -copies * torch.autograd.grad(loss, vae.posterior.net.logits)[0]


def fitted(how: nn.Module, theta: float, t: float, bits: int = 1, steps: int = 400, lr: float = 0.03) -> nn.Module:
    """The estimator after training its own parameters at this θ, on batches of 64."""
    vae = model(theta, bits)
    optimizer = torch.optim.Adam(how.parameters(), lr)
    torch.manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        how.train()(vae, target(t, 64, bits), GOAL).loss.backward()
        optimizer.step()
    return how
