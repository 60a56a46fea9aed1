"""A VAE whose cluster is a latent variable of its own."""

from __future__ import annotations

__all__ = ["GMVAE"]

from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution

from elbox import draws
from elbox.distributions import NormalMixture, OneHots, diagonal_normal
from elbox.errors import IncompatibleError, ShapeError, check_whole
from elbox.model import VAE
from elbox.parts import part
from elbox.terms import Group, Terms


@part
class GMVAE(VAE):
    r"""p(x, z, y) = p(y) p(z|y) p(x|z) with q(z, y|x) = q(y|x) q(z|x, y): mixtures of which the component y is kept.

    Prior and posterior are mixtures of diagonal normals with as many components; a VAE of the same parts sums y out.
    Here y is a group of latent variables beside z, one-hot, and the bound has its rate:

        L = E_q(y|x) E_q(z|x,y)[ log p(x|z) + log p(z|y) − log q(z|x, y) + log p(y) − log q(y|x) ],

    where `Enumerated()` takes the sum over y exactly, at the price of the likelihood for each y, and `Score()` draws y.
    q(y|x) says which cluster x belongs to.

    Reference: Dilokthanakul et al. (2016), *Deep unsupervised clustering with Gaussian mixture variational
    autoencoders* (who have a further variable that makes p(z|y)); Kingma et al. (2014), *Semi-supervised learning with
    deep generative models* (M2, from which this form comes).

    Arguments:
        prior: p(z), a `NormalMixture`: p(y), and p(z|y) as its components.
        likelihood: p(x|z).
        posterior: q(z|x), a `NormalMixture`: q(y|x), and q(z|x, y) as its components.

    Raises:
        IncompatibleError: if prior or posterior is no mixture of normals.
        ShapeError: if they have another number of components or of dimensions.

    Example:
        >>> import torch
        >>> from elbox import likelihoods, posteriors, priors
        >>> from elbox.nn import MLP
        >>> q = posteriors.NormalMixture(MLP(5, [8], (3, 5)), 2, 3)
        >>> model = GMVAE(priors.NormalMixture(2, 3), likelihoods.Bernoulli(MLP(2, [8], 5)), q)
        >>> model.terms(torch.ones(4, 5), samples=7, draw=draws.sample).groups["y"].z.shape
        torch.Size([7, 4, 3])
    """

    prior: nn.Module
    of_cluster: _Cluster
    within: _Within

    def __init__(self, prior: nn.Module, likelihood: nn.Module, posterior: nn.Module) -> None:
        super().__init__(prior, likelihood, posterior)
        # Views of the posterior, not parts beside it: they are not registered, so that its weights are there once.
        object.__setattr__(self, "of_cluster", _Cluster(posterior))
        object.__setattr__(self, "within", _Within(posterior))

    def terms(
        self, x: Tensor, samples: int = 1, *, c: Any = None, draw: draws.DrawFunction = draws.reparameterized
    ) -> Terms:
        """Log-densities of K samples of y and z for each example, or of all y: with groups "y" and "z".

        Arguments, errors: as those of `VAE.terms`; a condition is refused.
        """
        check_whole("samples", samples)
        if c is not None:
            raise IncompatibleError("got a condition with GMVAE, which has none; use a VAE with a NormalMixture prior")
        p = _mixture(self.prior(), self.prior, "prior")
        y, log_qy, qy = draw(self.of_cluster, x, samples)
        _check_alike(y.shape[-1], p)
        once = draw(self.within, (x, y), 1)  # for each y, which has the samples already
        z, log_qz, qz = once.z[0], once.log_qz[0], once.posterior
        px, py, pz = self.likelihood(z), OneHots(p.logits, len(p.logits)), _component(p, y)
        if x.shape[1:] != px.event_shape:
            raise ShapeError(
                f"got data of event shape {tuple(x.shape[1:])}; expected {tuple(px.event_shape)} as in p(x|z)"
            )
        groups = {
            "y": Group(y, py.log_prob(y), log_qy, py, qy),
            "z": Group(z, pz.log_prob(z), log_qz, pz, qz),
        }
        return Terms(px.log_prob(x), groups, x, px, self.encode, self.decode)

    def assigned(self, x: Tensor, *, c: Any = None) -> Tensor:
        """q(y|x), [B, M]."""
        return self.of_cluster(x).mean


class _Cluster(nn.Module):
    """x ↦ q(y|x)."""

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, x: Tensor) -> OneHots:
        q = _mixture(self.posterior(x), self.posterior, "posterior")
        return OneHots(q.logits, q.logits.shape[-1])


class _Within(nn.Module):
    """(x, y) ↦ q(z|x, y)."""

    def __init__(self, posterior: nn.Module) -> None:
        super().__init__()
        self.posterior = posterior

    def forward(self, context: tuple[Tensor, Tensor]) -> Distribution:
        x, y = context
        return _component(self.posterior(x), y)


def _component(d: NormalMixture, y: Tensor) -> Distribution:
    """The component that is one in y [K, B, M], batch shape [K, B]; of a relaxed y, with its parameters averaged."""
    if not d.batch_shape:
        return diagonal_normal(y @ d.loc, y @ d.scale)
    loc, scale = ((y[..., None, :] @ t).squeeze(-2) for t in (d.loc, d.scale))
    return diagonal_normal(loc, scale)


def _mixture(d: Distribution, of: nn.Module, axis: str) -> NormalMixture:
    if not isinstance(d, NormalMixture):
        raise IncompatibleError(
            f"got a {type(of).__name__} {axis} in GMVAE, whose components are clusters; use a NormalMixture {axis}"
        )
    return d


def _check_alike(components: int, p: NormalMixture) -> None:
    if components != len(p.logits):
        raise ShapeError(
            f"got a posterior of {components} components with a prior of {len(p.logits)}; expected as many in both"
        )
