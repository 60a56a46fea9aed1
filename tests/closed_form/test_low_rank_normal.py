"""The low-rank normal against torch's full one, its closed-form KL, and its draws where precision is short."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from elbox import ELBO, VAE, AnalyticKL, Path, Reparameterized, ShapeError
from elbox.distributions import LowRankNormal, diagonal_normal
from elbox.likelihoods import FixedGaussian
from elbox.nn import MLP
from elbox.objectives import InferredPrior, Penalized
from elbox.posteriors import DiagonalNormal
from elbox.posteriors import LowRankNormal as Posterior
from elbox.priors import LearnedNormal

B, D, R = 3, 4, 2


def distribution() -> LowRankNormal:
    g = torch.Generator().manual_seed(0)
    loc, scale, factor = (torch.randn(*s, generator=g).double() for s in ((B, D), (B, D), (B, D, R)))
    return LowRankNormal(loc, scale.exp(), 2 * factor)


def full(q: LowRankNormal) -> MultivariateNormal:
    inside = torch.eye(D).double() + q.factor @ q.factor.mT
    return MultivariateNormal(q.loc, q.scale[:, :, None] * inside * q.scale[:, None, :])


def test_density_moments_and_divergence_are_those_of_the_full_matrix() -> None:
    q = distribution()
    same, z = full(q), torch.randn(7, B, D).double()
    torch.testing.assert_close(q.log_prob(z), same.log_prob(z))
    torch.testing.assert_close(q.covariance_matrix, same.covariance_matrix)
    torch.testing.assert_close(q.variance, same.variance)
    prior = diagonal_normal(torch.randn(D).double(), torch.rand(D).double() + 0.5)
    wide = MultivariateNormal(prior.base_dist.loc, torch.diag(prior.base_dist.scale.square()))
    torch.testing.assert_close(kl_divergence(q, prior), kl_divergence(same, wide))
    torch.testing.assert_close(q.expand((5, B)).log_prob(z[:5]), q.log_prob(z[:5]))


def test_draws_have_the_density_of_their_noise_and_the_covariance() -> None:
    q = distribution()
    torch.manual_seed(0)
    z, log_q = q.rsample_and_log_prob((100_000,))
    torch.testing.assert_close(log_q, q.log_prob(z))
    off = z - q.loc
    found = torch.einsum("kbi,kbj->bij", off, off) / len(z)
    variance = q.variance
    error = ((variance[:, :, None] * variance[:, None, :] + q.covariance_matrix.square()) / len(z)).sqrt()
    assert ((found - q.covariance_matrix).abs() < 5 * error).all()


def test_draws_know_their_density_in_single_precision() -> None:
    """At the largest factor that the posterior allows, in a posterior as narrow as it can be."""
    torch.manual_seed(0)
    exact = LowRankNormal(
        torch.randn(1, 20).double(), torch.full((1, 20), 1e-4).double(), 10 * torch.randn(1, 20, 3).sign().double()
    )
    single = LowRankNormal(exact.loc.float(), exact.scale.float(), exact.factor.float())
    torch.manual_seed(1)
    z, log_q = single.rsample_and_log_prob((1000,))
    limit = exact.log_prob(exact.loc)  # no density is larger than that of the mean
    assert (log_q.double() <= limit + 1e-3).all()
    mean = limit - 10  # −½ E χ²(20)
    assert (log_q.double().mean(0) - mean).abs() < 4 * (10 / 1000) ** 0.5
    assert z.isfinite().all()


def vae(posterior: torch.nn.Module) -> VAE:
    return VAE(LearnedNormal(2), FixedGaussian(MLP(2, [], 5)), posterior)


@pytest.mark.parametrize("estimator", [AnalyticKL(), Path(), Reparameterized()], ids=lambda e: type(e).__name__)
def test_every_gradient_is_finite(estimator: AnalyticKL) -> None:
    model = vae(Posterior(MLP(5, [6], Posterior.output_shape(2, 2)), 2, 2))
    estimator(model, torch.randn(6, 5), ELBO(samples=2)).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
def test_training_finds_the_correlation_of_a_linear_model() -> None:
    """The posterior of a linear-Gaussian model with D = 2 is of rank one plus a diagonal: the bound becomes tight."""
    torch.manual_seed(0)
    x = torch.tensor([[1.0, -0.5]])
    weight = torch.tensor([[1.0, 0.9], [0.8, 1.0]])
    net = MLP(2, [], 2)
    with torch.no_grad():
        net.net[0].weight.copy_(weight)
    likelihood = FixedGaussian(net, sigma=0.3)
    evidence = MultivariateNormal(torch.zeros(2), weight @ weight.T + 0.09 * torch.eye(2)).log_prob(x[0])

    def bound(posterior: torch.nn.Module) -> Tensor:
        model = VAE(LearnedNormal(2), likelihood, posterior)
        optimizer = torch.optim.Adam(posterior.parameters(), 0.02)
        for _ in range(600):
            loss = AnalyticKL()(model, x, ELBO(samples=64)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model.terms(x, 20_000).with_kl().elbo[0].detach()

    low_rank = bound(Posterior(MLP(2, [], Posterior.output_shape(2, 1)), 2, 1))
    diagonal = bound(DiagonalNormal(MLP(2, [], (2, 2)), 2))
    assert low_rank > diagonal + 0.3
    assert abs(low_rank - evidence) < 0.05


def test_its_moments_are_known_to_penalties() -> None:
    """As those of the same full covariance: DIP-VAE-II."""
    torch.manual_seed(0)
    model = vae(Posterior(MLP(5, [6], Posterior.output_shape(2, 2)), 2, 2))
    terms = model.terms(torch.randn(6, 5), 1)
    posterior = terms.groups["z"].posterior
    centred = posterior.mean - posterior.mean.mean(0)
    c = centred.T @ centred / 5 + posterior.covariance_matrix.mean(0)
    right = 10 * (2 * c[0, 1] ** 2 + ((c.diagonal() - 1) ** 2).sum())
    found = terms.elbo - Penalized(ELBO(), [InferredPrior(10.0, ratio=1.0, of_codes=True)])(terms)
    torch.testing.assert_close(found, right.expand(6), rtol=1e-4, atol=1e-4)


def test_wrong_output() -> None:
    with pytest.raises(ShapeError, match=r"for LowRankNormal; expected its last dimensions to be \(4, 2\)"):
        Posterior(MLP(5, [], (3, 2)), 2, 2)(torch.zeros(3, 5))


def test_kl_to_a_full_covariance_is_torchs() -> None:
    """As between two full covariances, for a batch of posteriors and one prior."""
    torch.manual_seed(0)
    loc, scale, factor = torch.randn(5, 4).double(), torch.rand(5, 4).double() + 0.5, torch.randn(5, 4, 2).double()
    q = LowRankNormal(loc, scale, factor)
    p = MultivariateNormal(torch.randn(4).double(), scale_tril=torch.randn(4, 4).double().tril(-1) + 2 * torch.eye(4))
    full = MultivariateNormal(loc, covariance_matrix=q.covariance_matrix)
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(full, p))
