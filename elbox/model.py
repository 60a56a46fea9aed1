r"""The variational autoencoder: prior × likelihood × posterior."""

from __future__ import annotations

__all__ = ["VAE"]

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution

from elbox import draws
from elbox.distributions import OneHots, Quantized, Tokens, VonMises
from elbox.distributions.support import centre, curved, discrete, family, fitting, support
from elbox.errors import DataError, IncompatibleError, ShapeError, check_whole
from elbox.parts import part
from elbox.terms import Group, Terms


@part
class VAE(nn.Module):
    r"""p(x, z) = p(z) p(x|z) with an amortised posterior q(z|x).

    Reference: Kingma & Welling (2014), *Auto-encoding variational Bayes*, §2; Rezende et al. (2014), *Stochastic
    backpropagation*.

    The parts are modules whose `forward(context)` returns a distribution. With a condition c (any tensor of batch
    shape [B]), the prior sees c, the posterior (x, c) and the likelihood (z, c). With a
    `Deterministic` posterior it is an autoencoder, which has a distortion but no rate and no density; without a prior
    it cannot be sampled either.

    A condition may be a function of the data, such as the number of words of a document, given which the model is one
    of the words: `condition` computes it wherever examples come without one. log p(x) is then log p(x|c(x)).

    Arguments:
        prior: p(z) or p(z|c); None for a plain autoencoder.
        likelihood: p(x|z) or p(x|z, c).
        posterior: q(z|x) or q(z|x, c).
        condition: Module x [B, *event] ↦ c [B, ...], such as `elbox.nn.LogTotal`; None for none.

    Raises:
        IncompatibleError: if there is no prior although the posterior is a distribution.

    Example:
        >>> from elbox.likelihoods import Bernoulli
        >>> from elbox.nn import MLP
        >>> from elbox.posteriors import DiagonalNormal
        >>> from elbox.priors import StandardNormal
        >>> vae = VAE(StandardNormal(2), Bernoulli(MLP(2, [16], 5)), DiagonalNormal(MLP(5, [16], (2, 2)), 2))
        >>> x = torch.ones(3, 5)
        >>> vae.log_prob(x, samples=100).shape, vae.sample(4).shape
        (torch.Size([3]), torch.Size([4, 5]))
    """

    def __init__(
        self,
        prior: nn.Module | None,
        likelihood: nn.Module,
        posterior: nn.Module,
        condition: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.deterministic = bool(getattr(posterior, "deterministic", False))
        if prior is None and not self.deterministic:
            raise IncompatibleError(
                f"got no prior with a {type(posterior).__name__} posterior; expected a prior such as StandardNormal "
                "with a posterior such as DiagonalNormal, or prior=None with a Deterministic posterior (an autoencoder)"
            )
        self.prior, self.likelihood, self.posterior, self.condition = prior, likelihood, posterior, condition

    def given(self, x: Tensor, c: Any = None) -> Any:
        """The condition of a batch [B, *event]: c itself, or what the model computes from x where c is None."""
        return self.condition(x) if c is None and self.condition is not None else c

    def terms(
        self, x: Tensor, samples: int = 1, *, c: Any = None, draw: draws.DrawFunction = draws.reparameterized
    ) -> Terms:
        r"""Log-densities of K posterior samples for each example: the model's whole duty to training.

        Arguments:
            x: Batch [B, *event].
            samples: K ≥ 1; all samples go through the likelihood's network in one call.
            c: Condition [B, ...], or None.
            draw: How posterior samples are drawn and scored (`elbox.draws`).

        Returns:
            Terms with the group "z", after any of a posterior's own, such as that of `elbox.posteriors.Auxiliary`.

        Raises:
            ShapeError: if x does not fit the likelihood.
            IncompatibleError: if prior and posterior differ in their support.
            SettingError: if there are no samples.
        """
        check_whole("samples", samples)
        c = self.given(x, c)
        drawn, others = self._drawn(_join(x, c), samples, draw)
        z = drawn.z
        px = self.likelihood(_join(z, _repeat(c, len(z))))
        if x.shape[1:] != px.event_shape:
            raise ShapeError(
                f"got data of event shape {tuple(x.shape[1:])}; expected {tuple(px.event_shape)} as in p(x|z)"
            )
        groups = {**others, "z": self._group(drawn, None if self.prior is None else self.prior(c))}
        return Terms(px.log_prob(x), groups, x, px, lambda x: self.encode(x, c=c), lambda z: self.decode(z, c=c), c)

    def _drawn(self, context: Any, samples: int, draw: draws.DrawFunction) -> tuple[draws.Draw, Mapping[str, Group]]:
        """The draw of z, and the groups of what a posterior of several parts drew beside it."""
        if hasattr(self.posterior, "drawn"):
            return self.posterior.drawn(context, samples, draw)  # type: ignore[operator]
        return draws.Draw(*draw(self.posterior, context, samples)), {}

    def _group(self, draw: draws.Draw, p: Distribution | None) -> Group:
        self._check_angles(draw.posterior)
        if p is not None and p.event_shape != draw.z.shape[2:]:
            raise ShapeError(
                f"got a posterior over {tuple(draw.z.shape[2:])} with a prior over {tuple(p.event_shape)}; expected "
                "the same number of latent dimensions in both"
            )
        if p is None or self.deterministic:
            nothing = torch.zeros_like(draw.log_qz)
            return Group(draw.z, nothing, nothing, p, draw.posterior)
        self._check_codes(draw.posterior, p)
        return Group(draw.z, p.log_prob(draw.z), draw.log_qz, p, draw.posterior)

    def encode(self, x: Tensor, *, c: Any = None) -> Distribution:
        """The posterior q(z|x) of a batch [B, *event], batch shape [B] over [D]."""
        return self.posterior(_join(x, self.given(x, c)))

    def decode(self, z: Tensor, *, c: Any = None) -> Distribution:
        """The likelihood p(x|z) of codes [..., D], with a condition [B, ...] those of [..., B, D]."""
        return self.likelihood(_join(z, _repeat(c, *z.shape[:-2])))

    def reconstruct(self, x: Tensor, *, c: Any = None) -> Tensor:
        """The mean of p(x|z) at the posterior's mean z (for a flow, of 100 draws), [B, *event] for x [B, *event]."""
        c = self.given(x, c)
        return self.decode(_mean(self.encode(x, c=c)), c=c).mean

    def sample(self, n: int, *, c: Any = None, mean: bool = False) -> Tensor:
        r"""Ancestral samples, z ~ p(z), x ~ p(x|z).

        Arguments:
            n: Number of samples; with a condition, its batch size.
            c: Condition [n, ...], or None.
            mean: Return the mean of p(x|z) instead of a draw.

        Returns:
            [n, *event].

        Raises:
            IncompatibleError: if the model has no prior to sample.
        """
        if self.prior is None:
            raise IncompatibleError(
                "got sample on an autoencoder, which has no prior and no density; fit one to its codes with "
                "elbox.fit_prior(model, x), or train a VAE instead, e.g. vae"
            )
        p = self.prior(c)
        z = p.sample((n,)) if c is None or not p.batch_shape else p.sample()
        px = self.decode(z, c=c)
        return px.mean if mean else px.sample()

    @torch.no_grad()
    def log_prob(self, x: Tensor, samples: int = 1000, *, c: Any = None) -> Tensor:
        r"""Importance-weighted estimate of log p(x): log (1/S) Σ_s w_s, a lower bound in expectation.

        For many examples or samples use `elbox.evaluate`, which works in chunks of bounded memory.

        Reference: Burda et al. (2016), *Importance weighted autoencoders*, eq. 8.

        Arguments:
            x: Batch [B, *event].
            samples: S.
            c: Condition [B, ...], or None.

        Returns:
            [B], nats.

        Raises:
            IncompatibleError: if the model is an autoencoder: it has no density.
            SettingError: if there are no samples.
        """
        if self.deterministic:
            raise IncompatibleError(
                "got log_prob on an autoencoder, whose deterministic code has no density; train a VAE instead, e.g. vae"
            )
        training = self.training
        self.eval()  # a likelihood may be one of the batch while it is trained
        try:
            log_w = self.terms(x, samples, c=c, draw=draws.sample).log_w
        finally:
            self.train(training)
        return torch.logsumexp(log_w, 0) - math.log(samples)

    @torch.no_grad()
    def check(self, x: Tensor, *, c: Any = None, first: int = 0) -> None:
        """Refuse examples to which the likelihood gives no probability, such as 0.5 under Bernoulli.

        Arguments:
            x: Examples [N, *event].
            c: Condition [N, ...], or None.
            first: Number of the first of these examples, for the message.

        Raises:
            DataError: naming the first offending row.
        """
        c = self.given(x[:1], c if c is None else c[:1])
        support = self.decode(_mean(self.encode(x[:1], c=c)), c=c).support
        good = support.check(x) if support is not None else torch.ones(len(x), dtype=torch.bool)
        bad = torch.nonzero(~good.reshape(len(x), -1).all(1))
        if len(bad):
            row = int(bad[0])
            if x[row].isnan().any():
                raise DataError(f"got NaN in row {first + row}; expected numbers: fill in or drop missing values")
            raise DataError(
                f"got values in row {first + row} that {type(self.likelihood).__name__} gives no probability; expected "
                f"{getattr(self.likelihood, 'values', 'values in its support')}"
            )

    def _check_codes(self, q: Distribution, p: Distribution) -> None:
        """log p(z) − log q(z|x) is of two densities, or of two probabilities of the same codes."""
        if torch.compiler.is_compiling() or (_codes(q) == _codes(p) and _same_codebook(q, p)):
            return
        fits = "a CategoricalPrior of as many categories" if isinstance(q, OneHots) else "a BernoulliPrior"
        fits = "a CodePrior of that codebook" if isinstance(q, Quantized) else fits
        space = support(q) if curved(q) else None
        other = "a StandardNormal prior" if space is None else fitting(space)
        raise IncompatibleError(
            f"got a {type(self.posterior).__name__} posterior over {_codes(q)} with a {type(self.prior).__name__} "
            f"prior over {_codes(p)}; use {fits if discrete(q) else other}"
        )

    def _check_angles(self, q: Distribution) -> None:
        """A reparameterised gradient of what jumps where π meets −π would be biased: see `VonMises`."""
        circular = isinstance(family(q), VonMises)
        if circular and not any(getattr(m, "periodic", False) for m in self.likelihood.modules()):
            raise IncompatibleError(
                f"got a VonMises posterior, over angles, with a {type(self.likelihood).__name__} likelihood that reads "
                "them as numbers and jumps where π meets −π; use elbox.nn.Angles(net) as its network"
            )


def _codes(d: Distribution) -> str:
    """What a distribution is over, in words."""
    if not discrete(d):
        return "real numbers"
    if isinstance(d, OneHots):
        return f"one-hot codes of {d.categories} categories"
    if isinstance(d, Quantized | Tokens):
        return f"codes of a {type(d.codebook).__name__} of its own"
    return "bits" if isinstance(getattr(d, "base_dist", d), Bernoulli) else "whole numbers"


def _same_codebook(q: Distribution, p: Distribution) -> bool:
    return not isinstance(q, Quantized) or q.codebook.agrees(p.codebook)  # type: ignore[attr-defined]


def _mean(q: Distribution) -> Tensor:
    mean = centre(q)
    return q.sample((100,)).mean(0) if mean is None else mean  # a flow has no formula for it


def _join(a: Tensor, c: Any) -> Any:
    return a if c is None else (a, c)


def _repeat(c: Any, *samples: int) -> Any:
    return c if c is None else c.expand(*samples, *c.shape)
