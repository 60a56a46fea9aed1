"""A normal posterior that starts at an encoder's and is refined for each example."""

from __future__ import annotations

__all__ = ["Refined"]

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal
from zuko.lazy import LazyDistribution

from elbox.distributions import diagonal_normal
from elbox.distributions.normal import LOG_SCALE_BOUND
from elbox.errors import IncompatibleError, check_number
from elbox.parts import part
from elbox.posteriors.local_elbo import fixed_noise, log_joint, refuse_of_batch, slope_of

MOMENTUM = 0.5
LONGEST = 25.0  # nats: norm of an example's slope in μ, and in log σ, beyond which it is shortened


@part
class Refined(LazyDistribution):
    r"""q(z|x) = N(z; μ_K, diag σ_K²), K steps of gradient ascent on the ELBO of x alone from the encoder's μ_0 and σ_0.

    With λ = (μ, log σ) and L_x(λ) = E_ε[ log p(x, μ + σ ⊙ ε) ] + Σ_d log σ_d + const,

        v_k = ½ v_{k−1} + ∇L_x(λ_{k−1}),      λ_k = λ_{k−1} + lr · v_k.

    The encoder is trained through the steps: to be a good start, not a good end. Prior and likelihood also feel what
    they do to the steps. Each example has its own steps, whatever batch it is in; ε is the same each time (pairs ±ε of
    a Sobol sequence), so that q(z|x) is a function of x and training, evaluation and encoding are one computation. In
    each step a slope longer than 25 nats is shortened. `steps` more passes through the likelihood, forward and backward
    (and, in training, backward through these), are its price.

    Reference: Kim et al. (2018), *Semi-amortized variational autoencoders*, §3; Marino et al. (2018), *Iterative
    amortized inference* (an encoder in place of the steps). Their code (harvardnlp/sa-vae) takes 20 steps, momentum ½
    and lr = 1 for the mean over a batch of 50, the 0.02 of one example.

    Arguments:
        posterior: q_0(z|x), the start: a part that returns a diagonal normal distribution, such as `DiagonalNormal`.
        prior: p(z), the model's own.
        likelihood: p(x|z), the model's own.
        latent: Dimension D of z.
        steps: Number of steps K.
        lr: Size of a step, in units of μ and log σ for a slope of one nat.
        samples: Samples of ε in each step, an even number.
        through: Differentiate through the steps; if not, what they add is a constant, and the gradient of μ_K and σ_K
            is that of μ_0 and σ_0.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if a number is out of range.
        IncompatibleError: if the start is no diagonal normal distribution, or the likelihood one of the whole batch.

    Example:
        >>> from elbox.likelihoods import Bernoulli
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> from elbox.priors import StandardNormal
        >>> prior, likelihood = StandardNormal(2), Bernoulli(MLP(2, [8], 5))
        >>> q = Refined(DiagonalNormal(MLP(5, [8], (2, 2)), 2), prior, likelihood, 2, steps=5)
        >>> q(torch.ones(3, 5)).mean.shape
        torch.Size([3, 2])
    """

    noise: Tensor

    def __init__(
        self,
        posterior: nn.Module,
        prior: nn.Module,
        likelihood: nn.Module,
        latent: int,
        steps: int = 20,
        lr: float = 0.02,
        samples: int = 2,
        *,
        through: bool = True,
    ) -> None:
        super().__init__()
        noise = fixed_noise(latent, steps, samples)
        check_number("lr", lr, positive=True)
        refuse_of_batch("Refined", likelihood)
        self.posterior, self.prior, self.likelihood = posterior, prior, likelihood
        self.lr, self.through = lr, through
        self.register_buffer("noise", noise, persistent=False)

    @property
    def moves_model(self) -> bool:
        """Whether its gradient reaches prior and likelihood."""
        return self.through

    def forward(self, c: Any = None) -> Distribution:
        x, *condition = c if isinstance(c, tuple) else (c,)
        q = self.posterior(c)
        if not (isinstance(q, Independent) and isinstance(q.base_dist, Normal)):
            raise IncompatibleError(
                f"got a {type(self.posterior).__name__} posterior to be refined; expected one that returns a diagonal "
                "normal distribution; use DiagonalNormal"
            )
        start = torch.stack([q.base_dist.loc, q.base_dist.scale.log()])
        mean, log_scale = self._climb(start, partial(log_joint, self.prior, self.likelihood, x=x, condition=condition))
        return diagonal_normal(mean, _bounded(log_scale).exp())

    def _climb(self, local: Tensor, log_p: Any) -> Tensor:
        """Gradient ascent with momentum on μ and log σ, [2, B, D]."""
        through, velocity = self.through and torch.is_grad_enabled(), torch.zeros_like(local)
        for noise in self.noise:
            slope = slope_of(local, log_p, noise, _bounded, through=through)
            velocity = MOMENTUM * velocity + _shortened(slope)
            local = local + self.lr * velocity
        return local


def _bounded(log_scale: Tensor) -> Tensor:
    """log σ within the range that all scales keep to."""
    return log_scale.clamp(-LOG_SCALE_BOUND, LOG_SCALE_BOUND)


def _shortened(slope: Tensor) -> Tensor:
    square = slope.square().sum(-1, keepdim=True)
    return slope * LONGEST / square.clamp(min=LONGEST**2).sqrt()
