r"""Terms: the record where prior, likelihood, posterior, objective and estimator meet.

For a batch of B examples and K posterior samples each,

    log w_kb = log p(x_b | z_kb) + Σ_groups [ log p(z_kb) − log q(z_kb | x_b) ],      z_kb ~ q(z | x_b),

which is all that an objective sees. A plain VAE has one group of latent variables, a hierarchical one has several.
"""

from __future__ import annotations

__all__ = ["Group", "Terms"]

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from elbox.distributions import Delta
from elbox.distributions.support import check_rate, discrete
from elbox.errors import IncompatibleError


@dataclass(frozen=True)
class Group:
    r"""One group of latent variables.

    Arguments:
        z: Samples of the posterior, [K, B, D].
        log_pz: Log-density of the samples under the prior, [K, B], nats.
        log_qz: Log-density of the samples under the posterior, [K, B], nats.
        prior: The distribution p(z); None for an autoencoder without one.
        posterior: The distribution q(z|x), batch shape [B].
        kl: KL(q(z|x) ‖ p(z)) in closed form, [B], nats, where an estimator put it.
        below: Whether p is conditioned on variables that were drawn given these, as r(a|x, z) is on z ~ q(z|a, x): then
            KL(q ‖ p) of the two distributions is not the rate, which is a mean over samples only.

    Raises:
        IncompatibleError: if prior and posterior differ in their support, or KL(q ‖ p) is infinite.
    """

    z: Tensor
    log_pz: Tensor
    log_qz: Tensor
    prior: Distribution | None
    posterior: Distribution
    kl: Tensor | None = None
    below: bool = False

    def __post_init__(self) -> None:
        compiling = torch.compiler.is_compiling()  # Dynamo stumbles over the supports of codes
        if self.prior is not None and self.has_rate and not compiling:
            check_rate(self.posterior, self.prior)

    @property
    def has_rate(self) -> bool:
        """Whether q(z|x) has a density: a deterministic code has none, so no rate either."""
        return self.prior is not None and not isinstance(self.posterior, Delta)

    @property
    def rate(self) -> Tensor:
        """KL(q(z|x) ‖ p(z)), [B], nats: in closed form where an estimator put it, else the mean over the K samples."""
        return (self.log_qz - self.log_pz).mean(0) if self.kl is None else self.kl

    def with_kl(self) -> Group:
        """The same group with its KL in closed form, [B], where there is one; else as it is.

        Where q or p depends on samples of other groups, the closed form is averaged over these.
        """
        if self.prior is None or not self.has_rate or self.kl is not None or self.below:
            return self
        try:
            kl = kl_divergence(self.posterior, self.prior)
        except NotImplementedError:
            return self
        return replace(self, kl=kl if kl.dim() == 1 else kl.mean(0))

    def prior_draws(self, who: str) -> Tensor:
        """As many draws of p(z) as there are codes, [K, B, D], reparameterised where the prior can be.

        Raises:
            IncompatibleError: naming who asks, if there is no prior.
        """
        if self.prior is None:
            raise IncompatibleError(
                f"{who} compares codes with draws of the prior, got a model with no prior; use a StandardNormal prior"
            )
        missing = self.z.shape[: 2 - len(self.prior.batch_shape)]  # with a condition, the prior has [B]
        return self.prior.rsample(missing) if self.prior.has_rsample else self.prior.sample(missing)

    def rate_per_dimension(self) -> Tensor:
        r"""KL(q(z_d|x) ‖ p(z_d)) for each latent dimension, [B, D], nats; sums to `rate`.

        A categorical variable, one-hot in z, counts as one dimension.

        Raises:
            IncompatibleError: if prior or posterior does not factorise over dimensions.
        """
        q, p = self.posterior, self.prior
        if not (isinstance(q, Independent) and isinstance(p, Independent)):
            fits = ("BernoulliCode", "BernoulliPrior") if discrete(q) else ("DiagonalNormal", "StandardNormal")
            raise IncompatibleError(
                f"a rate per latent dimension needs prior and posterior that factorise, got ({type(q).__name__}, "
                f"{type(p).__name__}); use a {fits[0]} posterior with a {fits[1]} prior, or a rate per group"
            )
        if self.kl is not None:
            return kl_divergence(q.base_dist, p.base_dist)
        z = self.z.unflatten(-1, q.base_dist.batch_shape[-1:] + q.base_dist.event_shape)
        return (q.base_dist.log_prob(z) - p.base_dist.log_prob(z)).mean(0)


@dataclass(frozen=True)
class Terms:
    r"""Log-densities of K posterior samples for each of B examples, in nats, summed over event dimensions.

    Arguments:
        log_px: log p(x|z), [K, B].
        groups: The groups of latent variables by name, from the top of the hierarchy down.
        x: The batch, [B, *event].
        px: The distribution p(x|z) of the samples, batch shape [K, B].
        encode: x [B, *event] ↦ q(z|x), for penalties on the encoder's slope.
        decode: z [..., D] ↦ p(x|z), for penalties on the decoder's slope and for other codes than those drawn.
        c: The condition [B, ...], or None.

    Example:
        >>> import torch
        >>> from elbox import VAE, priors, posteriors, likelihoods
        >>> from elbox.nn import MLP
        >>> model = VAE(priors.StandardNormal(2), likelihoods.Bernoulli(MLP(2, [], 5)),
        ...             posteriors.DiagonalNormal(MLP(5, [], (2, 2)), 2))
        >>> terms = model.terms(torch.ones(3, 5), samples=4)
        >>> terms.log_w.shape, terms.distortion.shape, terms.rate.shape
        (torch.Size([4, 3]), torch.Size([3]), torch.Size([3]))
    """

    log_px: Tensor
    groups: dict[str, Group]
    x: Tensor | None = None
    px: Distribution | None = None
    encode: Callable[[Tensor], Distribution] | None = None
    decode: Callable[[Tensor], Distribution] | None = None
    c: Any = None

    @property
    def log_w(self) -> Tensor:
        """Log importance weights log p(x, z) − log q(z|x), [K, B], nats."""
        return self.log_px + sum(g.log_pz - g.log_qz for g in self.groups.values())

    @property
    def distortion(self) -> Tensor:
        """−E_q[log p(x|z)], [B], nats."""
        return -self.log_px.mean(0)

    @property
    def rate(self) -> Tensor:
        """Σ_groups KL(q ‖ p), [B], nats."""
        return torch.zeros_like(self.log_px[0]) + sum(g.rate for g in self.groups.values())

    @property
    def elbo(self) -> Tensor:
        """−(distortion + rate), [B], nats."""
        return -(self.distortion + self.rate)

    def with_kl(self) -> Terms:
        """The same terms with the KL of each group in closed form, where there is one."""
        return replace(self, groups={name: group.with_kl() for name, group in self.groups.items()})

    def leave_one_out(self) -> Terms:
        r"""Terms of the K subsets with one sample left out: [K − 1, K·B], subset k at columns kB … (k+1)B − 1.

        The distributions are those of the full record; only objectives of the log-densities may be applied.
        """
        k = self.log_px.shape[0]
        others = torch.arange(k - 1)[:, None] + (torch.arange(k - 1)[:, None] >= torch.arange(k)).long()  # [K-1, K]
        others = others.to(self.log_px.device)

        def drop(t: Tensor) -> Tensor:
            return t[others].flatten(1, 2)

        groups = {
            n: replace(g, z=drop(g.z), log_pz=drop(g.log_pz), log_qz=drop(g.log_qz)) for n, g in self.groups.items()
        }
        return Terms(drop(self.log_px), groups)
