r"""Linear-Gaussian models, whose evidence and true posterior are known.

p(z) = N(m, S) with S diagonal, p(x|z) = N(Wz + b, σ²I), p(x) = N(Wm + b, WSWᵀ + σ²I) and
p(z|x) = N(Σ(S⁻¹m + Wᵀ(x − b)/σ²), Σ) with Σ = (S⁻¹ + WᵀW/σ²)⁻¹ (Bishop, 2006, eq. 2.115–2.117).
"""

from __future__ import annotations

import torch
import zuko
from torch import Tensor, nn
from torch.distributions import MixtureSameFamily, MultivariateNormal

from elbox import VAE
from elbox.distributions.normal import LOG_SCALE_BOUND
from elbox.likelihoods import Gaussian
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal, FullNormal
from elbox.priors import LearnedNormal, NormalMixture, StandardNormal

DIMS, LATENT, SIGMA = 4, 2, 0.7


def unclip(y: Tensor) -> Tensor:
    """The inverse of `soft_clip`."""
    return y / (1 - y.abs() / LOG_SCALE_BOUND)


def likelihood(*, orthogonal: bool = False) -> Gaussian:
    """W of order one, with orthogonal columns where the true posterior shall be diagonal."""
    part = Gaussian(MLP(LATENT, [], DIMS)).double()
    weight, bias = affine(part.net)
    w = torch.randn(DIMS, LATENT, dtype=torch.float64)
    with torch.no_grad():
        weight.copy_(torch.linalg.qr(w)[0] * torch.tensor([1.5, 0.8]) if orthogonal else w)
        bias.copy_(torch.randn(DIMS))
        part.log_sigma.copy_(unclip(torch.tensor(SIGMA, dtype=torch.float64).log()))
    return part


def affine(net: nn.Module) -> tuple[Tensor, Tensor]:
    (layer,) = net.net
    return layer.weight, layer.bias


def prior(name: str) -> nn.Module:
    part = {
        "standard": StandardNormal(LATENT),
        "learned": LearnedNormal(LATENT),
        "mixture": NormalMixture(LATENT, 3),
        "zuko": zuko.mixtures.GMM(LATENT, components=3, covariance_type="diagonal"),
    }[name].double()
    with torch.no_grad():
        for p in part.parameters():
            p.add_(0.5 * torch.randn_like(p))
    return part


def components(p: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [M], means and variances [M, D] of a prior that is normal or a mixture of normals."""
    d = p()
    if isinstance(d, MixtureSameFamily):
        return d.mixture_distribution.probs, d.component_distribution.mean, d.component_distribution.variance
    if isinstance(d, zuko.distributions.Mixture):
        return d.logits.softmax(0), d.base.mean, d.base.variance
    return torch.ones(1, dtype=torch.float64), d.mean[None], d.variance[None]


def moments(p: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean and variance of a prior."""
    weights, means, variances = components(p)
    mean = weights @ means
    return mean, weights @ (variances + means.square()) - mean.square()


def true_posterior(model: VAE, x: Tensor) -> MultivariateNormal:
    m, s = moments(model.prior)
    w, b = affine(model.likelihood.net)
    covariance = torch.linalg.inv(torch.diag(1 / s) + w.T @ w / SIGMA**2)
    return MultivariateNormal((m / s + (x - b) @ w / SIGMA**2) @ covariance, covariance)


@torch.no_grad()
def set_to_truth(model: VAE) -> None:
    """Give an affine posterior the weights of the true posterior."""
    weight, bias = affine(model.posterior.net)
    zero = torch.zeros(1, DIMS, dtype=torch.float64)
    at_zero = true_posterior(model, zero)
    slope = torch.stack(
        [true_posterior(model, row[None]).mean[0] - at_zero.mean[0] for row in torch.eye(DIMS).double()], -1
    )
    cholesky = at_zero.scale_tril[0] if at_zero.scale_tril.dim() == 3 else at_zero.scale_tril
    weight.zero_()
    weight[:LATENT] = slope
    rows = [at_zero.mean[0], unclip(cholesky.diagonal().log())]
    rows += list(cholesky) if isinstance(model.posterior, FullNormal) else []
    bias.copy_(torch.cat(rows))


def linear_gaussian(posterior: str = "full", p: str = "standard", *, exact: bool = True, off: float = 0.05) -> VAE:
    """In double precision; `exact` has the true posterior (if the prior is normal), else one near it and wider."""
    cls = {"full": FullNormal, "diagonal": DiagonalNormal}[posterior]
    q = cls(MLP(DIMS, [], cls.output_shape(LATENT)), LATENT).double()
    model = VAE(prior(p), likelihood(orthogonal=posterior == "diagonal"), q)
    set_to_truth(model)
    if not exact:
        with torch.no_grad():
            for t in q.parameters():
                t.add_(off * torch.randn_like(t))
            affine(q.net)[1][LATENT : 2 * LATENT] += 4 * off
    return model


def evidence(model: VAE, x: Tensor) -> Tensor:
    """log p(x) in closed form, [B]."""
    w, b = affine(model.likelihood.net)
    weights, means, variances = components(model.prior)
    noise = SIGMA**2 * torch.eye(DIMS, dtype=torch.float64)
    each = MultivariateNormal(means @ w.T + b, w @ torch.diag_embed(variances) @ w.T + noise).log_prob(x[:, None])
    return torch.logsumexp(each + weights.log(), -1).detach()


def data(n: int = 5) -> Tensor:
    return 1.5 * torch.randn(n, DIMS, dtype=torch.float64)
