"""A prior fitted to codes: scikit-learn's density, in the model, saved and sampled."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.mixture import GaussianMixture

import elbox
from elbox import VAE, DataError, DataSpec, recipes
from elbox.evaluate import encode
from elbox.likelihoods import FixedGaussian, Poisson
from elbox.nn import MLP, LogTotal
from elbox.posteriors import Deterministic, DiagonalNormal
from elbox.priors import FittedMixture, LearnedNormal, StandardNormal
from elbox.second_stage import second_stage


def codes(n: int = 500) -> torch.Tensor:
    """Two clouds of unequal weight, one of them slanted."""
    slanted = torch.randn(n, 2) @ torch.tensor([[1.0, 0.9], [0.0, 0.3]])
    return torch.where(torch.rand(n, 1) < 0.3, slanted + 4, 0.5 * torch.randn(n, 2))


def test_it_is_standard_normal_until_fitted() -> None:
    z = torch.randn(7, 2)
    torch.testing.assert_close(FittedMixture(2, components=3)().log_prob(z), StandardNormal(2)().log_prob(z))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_density_and_draws_are_those_of_scikit_learn(dtype: torch.dtype) -> None:
    z, prior = codes().to(dtype), FittedMixture(2, components=2).to(dtype)
    prior.fit(z, seed=3)
    right = GaussianMixture(2, random_state=3).fit(z.double().numpy())
    found = prior().log_prob(z)
    torch.testing.assert_close(
        found.double(), torch.as_tensor(right.score_samples(z.double().numpy())), rtol=1e-4, atol=1e-4
    )
    draws = prior().sample((100_000,)).double()
    mean, covariance = torch.as_tensor(right.weights_ @ right.means_), torch.as_tensor(right.covariances_)
    se = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - mean).abs() < 4 * se).all()
    centred = torch.as_tensor(right.means_) - mean
    total = torch.einsum(
        "m,mij->ij", torch.as_tensor(right.weights_), covariance + centred[:, :, None] * centred[:, None]
    )
    torch.testing.assert_close(draws.T.cov(), total, rtol=0.03, atol=0.03)


def test_one_component_is_the_sample_mean_and_covariance() -> None:
    z, prior = codes().double(), FittedMixture(2, components=1).double()
    prior.fit(z)
    torch.testing.assert_close(prior().mean, z.mean(0))
    found = prior.cholesky[0] @ prior.cholesky[0].T
    torch.testing.assert_close(found, z.T.cov(correction=0) + 1e-6 * torch.eye(2).double())  # scikit-learn adds 10⁻⁶


def autoencoder() -> VAE:
    return VAE(None, FixedGaussian(MLP(2, [8], 5)), Deterministic(MLP(5, [8], 2), 2))


def test_fit_prior_makes_an_autoencoder_a_model_that_can_be_sampled() -> None:
    model, x = autoencoder(), torch.randn(300, 5)
    state = torch.get_rng_state()
    fitted = elbox.fit_prior(model, x, FittedMixture(2, 3)).model
    assert torch.equal(state, torch.get_rng_state())
    assert model.prior is None
    assert fitted.likelihood is model.likelihood
    assert fitted.training
    right = FittedMixture(2, components=3)
    right.fit(encode(model, x))
    z = torch.randn(9, 2)
    torch.testing.assert_close(fitted.prior().log_prob(z), right().log_prob(z))
    assert fitted.sample(4).shape == (4, 5)
    assert not any(p.requires_grad for p in fitted.prior.parameters())


def test_fit_prior_keeps_what_the_model_computes_its_condition_with() -> None:
    """Without it a decoder that reads the total of x would get none; codes are of posteriors that see it."""
    likelihood, net = Poisson(MLP(2, [8], 5, context=1)), MLP(5, [8], (2, 2), context=1)
    model = VAE(StandardNormal(2), likelihood, DiagonalNormal(net, 2), LogTotal())
    x = torch.poisson(3 * torch.ones(50, 5))
    fitted = elbox.fit_prior(model, x, FittedMixture(2, 2)).model
    assert fitted.condition is model.condition
    given = elbox.fit_prior(model, x, FittedMixture(2, 2), c=LogTotal()(x)).model
    torch.testing.assert_close(fitted.prior.means, given.prior.means)
    assert fitted.log_prob(x, samples=3).isfinite().all()


def test_fit_prior_of_a_vae_is_to_draws_of_its_posteriors() -> None:
    """The aggregated posterior has the variance of the means and that within each posterior."""
    model = VAE(StandardNormal(1), FixedGaussian(MLP(1, [], 5)), DiagonalNormal(MLP(5, [], (2, 1)), 1))
    x = torch.randn(20_000, 5)
    q = model.encode(x)
    total = q.mean.var() + q.variance.mean()
    found = elbox.fit_prior(model, x, FittedMixture(1, 1)).model.prior().variance
    assert found.item() == pytest.approx(total.item(), rel=0.05)
    assert total > 1.3 * q.mean.var()


def test_other_priors_are_not_fitted_after_training() -> None:
    data = elbox.from_array(torch.randn(30, 5).numpy())
    model = VAE(LearnedNormal(2), FixedGaussian(MLP(2, [], 5)), Deterministic(MLP(5, [], 2), 2))
    before = [p.clone() for p in model.prior.parameters()]
    assert second_stage(model, data, elbox.Training()) is None
    assert all(torch.equal(a, b) for a, b in zip(before, model.prior.parameters(), strict=True))


def test_the_fitted_prior_raises_the_bound_of_a_vae() -> None:
    """A prior of the codes themselves is one under which they are cheaper."""
    torch.manual_seed(0)
    model = VAE(StandardNormal(2), FixedGaussian(MLP(2, [], 5)), DiagonalNormal(MLP(5, [], (2, 2)), 2))
    x = 3 + torch.randn(400, 5)
    before, after = (elbox.evaluate(m, x, samples=20).elbo.mean for m in (model, elbox.fit_prior(model, x).model))
    assert after > before


@pytest.mark.parametrize(
    ("z", "said"),
    [
        (torch.zeros(3, 2), "got 3 codes for a mixture of 4 components; expected at least 4: use fewer components"),
        (torch.full((9, 2), math.nan), "got codes that are not all finite"),
    ],
)
def test_codes_that_cannot_be_fitted(z: torch.Tensor, said: str) -> None:
    with pytest.raises(DataError, match=said):
        FittedMixture(2, components=4).fit(z)


def test_too_few_examples_are_refused_before_training(tmp_path) -> None:
    data = elbox.from_array(torch.randn(20, 3).numpy(), seed=0)
    with pytest.raises(DataError, match="for a mixture of 100 components"):
        elbox.fit(
            recipes.rae_l2(data.spec, latent=2, components=100), data, elbox.Training(epochs=1), out=tmp_path / "run"
        )
    assert not (tmp_path / "run").exists()


def test_spec_of_the_recipe() -> None:
    model = recipes.rae_gp(DataSpec((5,), "binary"), latent=3, components=4).model
    assert type(model.prior) is FittedMixture
    assert model.prior.means.shape == (4, 3)
