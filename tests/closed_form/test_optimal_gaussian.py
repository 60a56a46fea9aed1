"""The σ-VAE's likelihood: the best σ for a batch in training, one remembered number in evaluation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from elbox import Training, evaluate, fit, from_array, recipes
from elbox.likelihoods import Gaussian, OptimalGaussian
from elbox.nn import MLP
from tests.closed_form.test_likelihoods import Put

OFFSET, SCALE = (1.0, -2.0, 0.5), (2.0, 0.5, 1.0)


def likelihood(scale: float = 1.0) -> OptimalGaussian:
    return OptimalGaussian(MLP(2, [4], 3), OFFSET, tuple(scale * s for s in SCALE)).double()


def batch(n: int = 50) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 2).double(), torch.tensor(OFFSET) + torch.tensor(SCALE) * torch.randn(n, 3).double()


def standardised_error(part: OptimalGaussian, z: Tensor, x: Tensor) -> Tensor:
    return (x - part(z).mean) / torch.tensor(SCALE)


def test_training_value_is_the_logarithm_of_the_mean_squared_error() -> None:
    """Mean over the batch: −D/2 (log 2π MSE + 1) − Σ log scale, the maximum over σ."""
    part, (z, x) = likelihood(), batch()
    mse = standardised_error(part, z, x).square().mean()
    expected = -1.5 * (torch.log(2 * math.pi * mse) + 1) - math.log(math.prod(SCALE))
    torch.testing.assert_close(part(z).log_prob(x).mean(), expected)


def test_no_other_variance_is_better() -> None:
    part, (z, x) = likelihood(), batch()
    best = part(z).log_prob(x).sum()
    for factor in (0.9, 0.99, 1.01, 1.1):
        part.eval()
        part.square.copy_(factor * standardised_error(part, z, x).square().mean())
        assert part(z).log_prob(x).sum() < best


def test_gradient_is_that_of_the_logarithm_of_the_mean_squared_error() -> None:
    """Although σ is held constant: its own derivative vanishes at the optimum."""
    part, (z, x) = likelihood(), batch()
    weights = list(part.parameters())
    held = torch.autograd.grad(part(z).log_prob(x).sum(), weights)
    through = torch.autograd.grad(-75 * standardised_error(part, z, x).square().mean().log(), weights)
    for a, b in zip(held, through, strict=True):
        torch.testing.assert_close(a, b)


def test_samples_of_one_example_count_alike() -> None:
    """K samples of z are K more errors: the mean is over samples, batch and dimensions."""
    part, (_, x) = likelihood(), batch(6)
    z = torch.randn(4, 6, 2).double()
    mse = ((x - part(z).mean) / torch.tensor(SCALE)).square().mean()
    part(z).log_prob(x)
    assert part.square.item() == pytest.approx(mse.item())


def test_a_training_batch_is_judged_as_a_whole_and_an_evaluated_one_is_not() -> None:
    part, (z, x) = likelihood(), batch()
    together = part(z).log_prob(x)
    alone = torch.cat([part(z[i : i + 1]).log_prob(x[i : i + 1]) for i in range(50)])
    assert not torch.allclose(together, alone)
    part.eval()
    together = part(z).log_prob(x)
    alone = torch.cat([part(z[i : i + 1]).log_prob(x[i : i + 1]) for i in range(50)])
    torch.testing.assert_close(together, alone)


def test_evaluation_is_under_the_mean_of_the_variances_seen() -> None:
    """The plain mean of the first twenty, then an exponential one; evaluation adds nothing to it."""
    part, z = OptimalGaussian(Put(torch.zeros(1))), torch.zeros(1, 1)
    seen = torch.rand(130) + 0.5
    expected = 0.0
    for n, square in enumerate(seen.tolist(), 1):
        part(z).log_prob(torch.full((1, 1), math.sqrt(square)))
        expected += (square - expected) * max(1 / n, 0.05)
        if n in (1, 20, 130):
            assert part.square.item() == pytest.approx(expected, rel=1e-4)
    part.eval()
    plain = Gaussian(Put(torch.zeros(1)), scale=math.sqrt(expected))(z)
    x = torch.tensor([[0.7]])
    torch.testing.assert_close(part(z).log_prob(x), plain.log_prob(x))
    assert part.square.item() == pytest.approx(expected, rel=1e-4)
    assert part.train()(z).stddev.item() == pytest.approx(math.sqrt(expected), rel=1e-4)  # samples too


def test_perfect_reconstruction_is_finite() -> None:
    part = OptimalGaussian(Put(torch.zeros(3)))
    log_p = part(torch.zeros(4, 1)).log_prob(torch.zeros(4, 3))
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert part.net.value.grad.isfinite().all()


def test_what_is_remembered_is_saved_and_resumed() -> None:
    part, (z, x) = likelihood(), batch()
    part(z).log_prob(x)
    other = likelihood()
    other.load_state_dict(part.state_dict())
    torch.testing.assert_close(other.eval()(z).log_prob(x), part.eval()(z).log_prob(x))


def test_rescaled_data_lose_the_logarithm_of_the_scale() -> None:
    part, (z, x) = likelihood(), batch()
    other = OptimalGaussian(part.net, tuple(7 * o for o in OFFSET), tuple(7 * s for s in SCALE)).double()
    torch.testing.assert_close(other(z).log_prob(7 * x), part(z).log_prob(x) - 3 * math.log(7))


def test_a_run_ends_where_a_learned_variance_ends(tmp_path) -> None:
    """What is remembered is the mean squared error at samples of z; evaluation does not depend on the batch."""
    torch.manual_seed(0)
    x = torch.randn(2000, 1) @ torch.randn(1, 6) + 0.3 * torch.randn(2000, 6)
    data = from_array(x)
    run = fit(
        recipes.sigma_vae(data.spec, latent=1, hidden=(16,)), data, Training(epochs=20, lr=3e-3), out=tmp_path / "run"
    )
    model = run.model
    z = model.encode(data.train.x).sample()
    residual = (data.train.x - model.decode(z).mean) / torch.tensor(data.spec.scale)
    assert model.likelihood.square.item() == pytest.approx(residual.square().mean().item(), rel=0.15)
    whole = evaluate(model, data.test.x, samples=10, seed=1)
    parts = [evaluate(model, data.test.x[i::2], samples=10, seed=1).elbo.mean for i in range(2)]
    assert whole.elbo.mean == pytest.approx(sum(parts) / 2, abs=0.1)
