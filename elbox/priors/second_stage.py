"""A variational autoencoder of codes as their prior."""

from __future__ import annotations

__all__ = ["SecondStage"]

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.types import _size
from zuko.lazy import LazyDistribution

from elbox.errors import IncompatibleError, check_whole
from elbox.parts import part


@part
class SecondStage(LazyDistribution):
    r"""p(z) = ∫ p(u) p(z|u) du: a VAE whose data are the codes z of another; its log-density is a lower bound.

        log p̂(z) = log (1/K) Σ_k p(u_k) p(z|u_k) / r(u_k|z),   u_k ~ r(u|z),   E[p̂(z)] = p(z),   E[log p̂(z)] ≤ log p(z).

    Every call of `log_prob` draws anew. So a rate is an upper bound on KL(q(z|x) ‖ p(z)), the ELBO a lower bound on the
    one with the exact p(z), and importance-weighted likelihoods remain lower bounds that rise to log p(x): (z, u) is
    drawn from q(z|x) r(u|z), and p̂ / q is the weight of the pair. Chains would compare one draw with another:
    `MonteCarloEM` and `marginal_likelihood` refuse it.

    Reference: Dai & Wipf (2019), *Diagnosing and enhancing VAE models* (the two-stage VAE); Burda et al. (2016),
    *Importance weighted autoencoders*, eq. 8.

    Arguments:
        model: A VAE of data of shape [D].
        latent: Dimension D of z.
        samples: K.

    Shapes:
        forward(c) → distribution over [D]; a condition c is ignored.

    Raises:
        IncompatibleError: if the model has no density.

    Example:
        >>> import elbox
        >>> second = elbox.recipes.vae(elbox.DataSpec((2,), "real"), latent=2, hidden=(8,)).model
        >>> SecondStage(second, 2)().sample((3,)).shape
        torch.Size([3, 2])
    """

    def __init__(self, model: nn.Module, latent: int, samples: int = 1) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_whole("samples", samples)
        if getattr(model, "deterministic", False):
            raise IncompatibleError(
                "got SecondStage of an autoencoder, which has no density; use a VAE, with a DiagonalNormal posterior"
            )
        self.model, self.latent, self.samples = model, latent, samples

    def forward(self, c: Any = None) -> Distribution:
        return _Marginal(self)

    def loss(self, z: Tensor, c: Any = None) -> Tensor:
        """−log p̂(z) of codes [..., D]; with K = 1 its rate is in closed form, where there is one."""
        terms = self.model.terms(z.reshape(-1, self.latent), self.samples)  # type: ignore[operator]
        if self.samples == 1:
            return -terms.with_kl().elbo.reshape(z.shape[:-1])
        return (math.log(self.samples) - torch.logsumexp(terms.log_w, 0)).reshape(z.shape[:-1])


class _Marginal(Distribution):
    """Codes of a second stage: drawn exactly, their log-density bounded from below."""

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = False
    estimated = True

    def __init__(self, prior: SecondStage) -> None:
        self.prior = prior
        super().__init__(event_shape=torch.Size([prior.latent]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.real_vector

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:  # noqa: B008 (torch's own signature)
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            return self.prior.model.sample(shape.numel()).reshape(*shape, self.prior.latent)  # type: ignore[operator]

    def log_prob(self, value: Tensor) -> Tensor:
        terms = self.prior.model.terms(value.reshape(-1, self.prior.latent), self.prior.samples)  # type: ignore[operator]
        return (torch.logsumexp(terms.log_w, 0) - math.log(self.prior.samples)).reshape(value.shape[:-1])
