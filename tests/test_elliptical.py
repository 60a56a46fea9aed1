"""Full covariances whose factor L is badly conditioned: draws in single precision, scored as in double precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import elbox
from elbox import IWAE, VAE, Path, Reparameterized, draws, likelihoods, posteriors, priors
from elbox.draws import DrawFunction
from elbox.estimators import Estimator
from elbox.evaluate.chunks import Remembered
from elbox.nn import MLP
from tests.closed_form.test_distributions import Say

D = 3
POSTERIORS = {"normal": posteriors.FullNormal, "student": lambda net, d: posteriors.FullStudentT(net, d, df=6.0)}


def steep(dtype: torch.dtype) -> Tensor:
    """A network's output, μ, s and L', by which σ_d ≈ 10⁻³ and |L_dc| = 10⁴."""
    s = torch.tensor(1e-3).log()
    factor = torch.tensor([[0.0, 0.0, 0.0], [1e4, 0.0, 0.0], [-1e4, 1e4, 0.0]])
    rows = torch.stack([torch.tensor([0.1, -0.2, 0.3]), (s / (1 - s.abs() / 10)).expand(D)])
    return torch.cat([rows, factor]).to(dtype)


def drawn(
    make: str, dtype: torch.dtype, how: DrawFunction, monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensor, Tensor, Tensor]:
    """z, log q(z|x) and the gradient of its mean to the network's output, from the same noise in each precision."""
    noise = torch.randn(100, 1, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for module in ("multivariate_normal", "student"):
        monkeypatch.setattr(f"elbox.distributions.{module}._standard_normal", lambda *_, **k: noise.to(k["dtype"]))
    monkeypatch.setattr("torch.distributions.Chi2.rsample", lambda d, shape: (5 + noise[..., 0]).to(d.df.dtype))
    net = Say(steep(dtype))
    draw = how(POSTERIORS[make](net, D), torch.zeros(1, 1, dtype=dtype), 100)
    (gradient,) = (
        torch.autograd.grad(draw.log_qz.mean(), net.value) if draw.log_qz.requires_grad else (torch.zeros(()),)
    )
    return draw.z.detach().double(), draw.log_qz.detach().double(), gradient.double()


@pytest.mark.parametrize("make", POSTERIORS)
@pytest.mark.parametrize("how", [draws.reparameterized, draws.path, draws.score, draws.sample, Remembered()])
def test_steep_factors_are_scored_in_single_as_in_double_precision(
    make: str, how: DrawFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    single, double = (drawn(make, t, how, monkeypatch) for t in (torch.float32, torch.float64))
    for one, other in zip(single, double, strict=True):
        assert ((one - other).norm() <= 1e-3 * other.norm()).all()
    torch.testing.assert_close(single[1], double[1], rtol=1e-3, atol=0)


@pytest.mark.parametrize("make", POSTERIORS)
@pytest.mark.parametrize("how", [draws.reparameterized, draws.path, draws.score])
def test_gradients_are_those_of_the_density(make: str, how: DrawFunction) -> None:
    """In double precision, at a tame factor: as from `log_prob` of z, held fixed (score), along z (path), or both."""
    torch.manual_seed(0)
    net = Say(torch.randn(2 + D, D, dtype=torch.float64))
    z, log_qz, q = how(POSTERIORS[make](net, D), torch.zeros(1, 1).double(), 7)
    weights = torch.rand(7, 1, dtype=torch.float64)
    scored = q.detached().log_prob(z) if how is draws.path else q.log_prob(z)
    torch.testing.assert_close(log_qz, scored)
    expected, found = (torch.autograd.grad((weights * v).sum(), net.value, retain_graph=True) for v in (scored, log_qz))
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [Path(), Reparameterized()], ids=lambda e: type(e).__name__)
def test_the_quickstart_model_never_says_more_than_certainty(estimator: Estimator) -> None:
    """Discrete data have log p(x) ≤ 0, which training must not get around by rounding (docs/quickstart.md)."""
    torch.manual_seed(0)
    net: nn.Module = MLP((1, 8, 8), [100], posteriors.FullNormal.output_shape(10))
    model = VAE(
        prior=priors.NormalMixture(latent=10, components=20),
        likelihood=likelihoods.Categorical(MLP(10, [100], (17, 1, 8, 8))),
        posterior=posteriors.FullNormal(net, latent=10),
    )
    recipe = elbox.Recipe(model, objective=IWAE(samples=8), estimator=estimator)
    run = elbox.fit(recipe, elbox.load("digits"), elbox.Training(epochs=2, compile=False))
    found = run.evaluate(samples=20)
    assert found.elbo.mean < found.log_likelihood.mean < 0
    assert (found.per_example["log_likelihood"] <= 0).all()
    assert found.rate.mean > 0
