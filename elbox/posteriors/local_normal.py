"""A normal posterior that is optimised for each example, without an encoder."""

from __future__ import annotations

__all__ = ["LocalNormal"]

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal, soft_clip
from elbox.errors import check_number
from elbox.parts import part
from elbox.posteriors.local_elbo import fixed_noise, log_joint, refuse_of_batch, slope_of

DECAYS = (0.9, 0.99)  # of Adam's two moments; the second forgets within the few steps that there are


@part
class LocalNormal(LazyDistribution):
    r"""q(z|x) = N(z; μ_x, diag σ_x²), with μ_x, σ_x the end of a few Adam steps on the ELBO of the example x alone.

    L_x(μ, σ) = E_ε[ log p(x, μ + σ ⊙ ε) ] + Σ_d log σ_d + const, from μ = 0, σ = 1, with step sizes that fall linearly
    to 0. It needs no encoder and no number of the example, so that training, held-out evaluation and encoding new data
    are the same computation; its price is `steps` passes through the likelihood, forward and backward, for each. The
    noise is the same each time, pairs ±ε of a Sobol sequence, so that q(z|x) is a function of x.

    μ_x and σ_x are constants to whatever comes after: training the model with it is variational EM, a few inner steps
    E, one outer step M, and at the inner optimum that is the ELBO's whole gradient.

    Reference: Hoffman et al. (2013), *Stochastic variational inference*, §2.2 (local variational parameters); Cremer et
    al. (2018), *Inference suboptimality in variational autoencoders* (what is gained over an encoder); Kingma & Ba
    (2015), *Adam*, algorithm 1; Buchholz et al. (2018), *Quasi-Monte Carlo variational inference* (such noise).

    Arguments:
        prior: p(z), the model's own.
        likelihood: p(x|z), the model's own.
        latent: Dimension D of z.
        steps: Number of Adam steps.
        lr: Size of the first step, in units of μ and log σ.
        samples: Samples of ε in each step, an even number.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if a number is out of range.

    Example:
        >>> from elbox.likelihoods import Bernoulli
        >>> from elbox.nn import MLP
        >>> from elbox.priors import StandardNormal
        >>> prior, likelihood = StandardNormal(2), Bernoulli(MLP(2, [8], 5))
        >>> LocalNormal(prior, likelihood, 2)(torch.ones(3, 5)).mean.shape
        torch.Size([3, 2])
    """

    noise: Tensor

    def __init__(
        self, prior: nn.Module, likelihood: nn.Module, latent: int, steps: int = 20, lr: float = 0.3, samples: int = 4
    ) -> None:
        super().__init__()
        noise = fixed_noise(latent, steps, samples)
        check_number("lr", lr, positive=True)
        refuse_of_batch("LocalNormal", likelihood)
        self.prior, self.likelihood = prior, likelihood
        self.latent, self.steps, self.lr = latent, steps, lr
        self.register_buffer("noise", noise, persistent=False)

    def forward(self, c: Any = None) -> Distribution:
        x, *condition = c if isinstance(c, tuple) else (c,)
        start = torch.zeros(2, len(x), self.latent, dtype=self.noise.dtype, device=self.noise.device)
        mean, log_scale = self._climb(start, x, condition)
        return diagonal_normal(mean, soft_clip(log_scale).exp())

    def _climb(self, local: Tensor, x: Tensor, condition: list[Any]) -> Tensor:
        """Adam on μ and log σ, [2, B, D]: every number has its own step size, whatever the others do."""
        log_p = partial(log_joint, self.prior, self.likelihood, x=x, condition=condition)
        first, second = torch.zeros_like(local), torch.zeros_like(local)
        (a, b), last = DECAYS, self.steps
        for t, noise in enumerate(self.noise, 1):
            slope = slope_of(local, log_p, noise, soft_clip)
            first, second = a * first + (1 - a) * slope, b * second + (1 - b) * slope.square()
            direction = first / (1 - a**t) / ((second / (1 - b**t)).sqrt() + 1e-8)
            local = local + self.lr * (1 - (t - 1) / last) * direction
        return local
