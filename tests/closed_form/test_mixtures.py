"""Mixtures of normals, and priors that are mixtures: densities, reparameterised draws, starts from data."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

import elbox
from elbox import VAE, DataSpec, IncompatibleError, likelihoods, posteriors, priors
from elbox.distributions import NormalMixture
from elbox.errors import DataError
from elbox.nn import MLP
from elbox.record import trace
from elbox.train.step import Step
from tests.components import make


def parameters(m: int, d: int, batch: tuple[int, ...] = (), seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    logits, loc = (torch.randn(*batch, *s, generator=g).double() for s in ((m,), (m, d)))
    return logits, 1.5 * loc, torch.rand(*batch, m, d, generator=g).double() + 0.3


def plain(logits: Tensor, loc: Tensor, scale: Tensor) -> MixtureSameFamily:
    """torch's own."""
    return MixtureSameFamily(Categorical(logits=logits), Independent(Normal(loc, scale), 1))


@pytest.mark.parametrize("batch", [(), (4,)])
def test_density_is_that_of_torch(batch: tuple[int, ...]) -> None:
    made = parameters(5, 3, batch)
    z = 3 * torch.randn(7, 4, 3).double()
    ours, theirs = NormalMixture(*made), plain(*made)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.variance, theirs.variance)
    torch.testing.assert_close(ours.responsibilities(z).sum(-1), torch.ones(7, 4).double())
    wider = ours.expand((2, 4))
    torch.testing.assert_close(wider.log_prob(z[:2]), theirs.log_prob(z[:2]))


def test_density_integrates_to_one() -> None:
    grid = torch.linspace(-12, 12, 601, dtype=torch.float64)
    z = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1)
    total = NormalMixture(*parameters(4, 2)).log_prob(z).exp().sum() * (grid[1] - grid[0]) ** 2
    torch.testing.assert_close(total, torch.ones((), dtype=torch.float64), rtol=1e-6, atol=0)


@settings(max_examples=30, deadline=None)
@given(st.floats(-10, 10), st.floats(-1000, 1000))
def test_density_keeps_its_digits_in_float32(log_scale: float, at: float) -> None:
    """However narrow, and however far from 0: as in double precision, and with finite gradients."""
    scale = torch.full((3, 2), math.exp(log_scale))
    loc = (at + scale * torch.tensor([[0.0, 1.0], [2.0, -1.0], [1.0, 1.0]])).requires_grad_()
    z = (loc.detach()[1] + 0.5 * scale[1]).requires_grad_()
    value = NormalMixture(torch.zeros(3), loc, scale).log_prob(z)
    exact = plain(torch.zeros(3).double(), loc.double(), scale.double()).log_prob(z.double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=1e-4)
    assert all(g.isfinite().all() for g in torch.autograd.grad(value, (loc, z)))


@pytest.mark.parametrize("batch", [(), (2,)])
def test_samples_have_the_moments(batch: tuple[int, ...]) -> None:
    d = NormalMixture(*parameters(3, 2, batch))
    z, n = d.sample((100_000,)), 100_000
    assert ((z.mean(0) - d.mean).abs() < 4 * (d.variance / n).sqrt()).all()
    assert ((z.var(0) / d.variance - 1).abs() < 0.03).all()


def test_reparameterised_gradient_is_unbiased() -> None:
    """∂E[f(z)] of weights, means and scales, f neither even nor separable: against a sum over the plane."""
    torch.manual_seed(0)
    leaves = [t.requires_grad_() for t in parameters(3, 2, seed=1)]
    grid = torch.linspace(-11, 11, 801, dtype=torch.float64)
    plane = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1)

    def f(z: Tensor) -> Tensor:
        return torch.sin(z[..., 0] + 0.7) * z[..., 1] + 0.3 * z[..., 0].square() + torch.tanh(z.sum(-1))

    exact = ((plain(*leaves).log_prob(plane).exp() * f(plane)).sum() * (grid[1] - grid[0]) ** 2,)
    wanted = torch.autograd.grad(exact, leaves)
    n = 40
    draws = [torch.autograd.grad(f(NormalMixture(*leaves).rsample((5000,))).mean(), leaves) for _ in range(n)]
    for i, gradient in enumerate(wanted):
        found = torch.stack([d[i] for d in draws])
        error = found.std(0) / math.sqrt(n)
        assert ((found.mean(0) - gradient).abs() < 4 * error + 1e-9).all(), i
        assert (error < 0.1).all()


def test_one_component_is_the_normal_itself() -> None:
    """∂z/∂μ = 1, ∂z/∂σ = ε, in single precision too."""
    loc, scale = torch.tensor([[0.3, -2.0]], requires_grad=True), torch.tensor([[0.01, 5.0]], requires_grad=True)
    z = NormalMixture(torch.zeros(1), loc, scale).rsample((2000,))
    noise = ((z - loc) / scale).detach()
    of_loc, of_scale = torch.autograd.grad(z.sum(), (loc, scale))
    torch.testing.assert_close(of_loc, torch.full((1, 2), 2000.0), rtol=1e-4, atol=0)
    torch.testing.assert_close(of_scale, noise.sum(0, keepdim=True), rtol=1e-3, atol=1e-1)


def vamp(posterior: torch.nn.Module, **settings: object) -> priors.VampPrior:
    return priors.VampPrior(posterior, (5,), components=4, offset=1.0, scale=2.0, noise=1.0, **settings)


@pytest.mark.parametrize("kind", ["DiagonalNormal", "FullNormal", "Factorized"])
def test_vamp_prior_is_a_mixture_built_by_hand(kind: str) -> None:
    cls = getattr(posteriors, kind)
    torch.manual_seed(0)
    q = cls(MLP(5, [6], cls.output_shape(2), torch.nn.Tanh, scale=3.0), 2)  # wide enough for the grid
    with torch.no_grad():
        q.net.net[-1].weight.mul_(0.3)
    prior, z = vamp(q), torch.randn(7, 3, 2)
    u = 1.0 + 2.0 * prior.inputs
    by_hand = torch.stack([q(u[k : k + 1]).log_prob(z.unsqueeze(-2)).squeeze(-1) for k in range(4)])
    torch.testing.assert_close(prior().log_prob(z), torch.logsumexp(by_hand, 0) - math.log(4), rtol=1e-5, atol=1e-5)
    grid = torch.linspace(-12, 12, 1001)
    plane = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1)
    with torch.no_grad():
        total = float(prior().log_prob(plane).exp().sum() * (grid[1] - grid[0]) ** 2)
    assert total == pytest.approx(1, abs=0.02 if kind == "Factorized" else 2e-3)  # Laplace has an edge


def test_vamp_prior_shares_the_posterior() -> None:
    """One object, saved once, with gradients from both places."""
    recipe = elbox.recipes.vamp_vae(DataSpec((5,), "binary"), latent=2, components=3, hidden=(6,))
    model = recipe.model
    assert model.prior.posterior is model.posterior
    spec = DataSpec((5,), "binary")
    rebuilt = elbox.Recipe.from_json(elbox.Recipe(model, recipe.objective, recipe.estimator).to_json(), spec).model
    assert rebuilt.prior.posterior is rebuilt.posterior
    names = [n for n, _ in model.named_parameters()]
    assert len(names) == len({id(p) for p in model.parameters()})
    z = torch.randn(4, 2)
    (gradient,) = torch.autograd.grad(model.prior().log_prob(z).sum(), model.prior.inputs)
    assert gradient.abs().sum() > 0
    loss = recipe.estimator(model, torch.ones(3, 5), recipe.objective).loss
    assert all(g is not None for g in torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))


def test_vamp_prior_starts_at_examples() -> None:
    q = posteriors.DiagonalNormal(MLP(5, [6], (2, 2)), 2)
    prior, x = vamp(q, from_data=True), torch.randn(10, 5)
    before = vamp(q).pseudo_inputs()
    prior.start(x, lambda: x)
    distance = torch.cdist(prior.pseudo_inputs(), x).min(1)
    assert float(distance.values.max()) < 1e-5
    assert len(set(distance.indices.tolist())) == 4
    other = vamp(q)
    other.start(x, lambda: x)
    assert before.shape == (4, 5)
    assert torch.cdist(other.pseudo_inputs(), x).min() > 1e-3
    with pytest.raises(DataError, match="got 3 examples for 4 pseudo-inputs; expected at least as many"):
        prior.start(x[:3], lambda: x)


def test_vamp_prior_refuses_what_it_cannot_mix() -> None:
    x = torch.ones(3, 5)
    code = posteriors.Deterministic(MLP(5, [6], 2), 2)
    with pytest.raises(IncompatibleError, match=r"VampPrior of a Deterministic posterior.*use a FittedMixture prior"):
        vamp(code)()
    q = posteriors.DiagonalNormal(MLP(5, [6], (2, 2)), 2)
    model = VAE(vamp(q), likelihoods.Bernoulli(MLP(2, [], 5)), q)
    with pytest.raises(IncompatibleError, match=r"VampPrior with a condition.*use a NormalMixture prior"):
        model.prior(torch.ones(3, 1))
    assert elbox.evaluate(model, x, samples=50).log_likelihood.mean < 0


def test_mixture_starts_at_the_clusters_of_codes() -> None:
    torch.manual_seed(0)
    prior = priors.NormalMixture(2, 3, from_codes=True)
    centres = torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 8.0]])
    codes = torch.cat([c + s * torch.randn(n, 2) for c, s, n in zip(centres, (0.1, 1.0, 0.5), (500, 300, 200))])
    prior.start(codes, lambda: codes)
    order = torch.cdist(centres, prior().loc).argmin(1)
    torch.testing.assert_close(prior().loc[order], centres, atol=0.3, rtol=0)
    torch.testing.assert_close(prior().scale[order][:, 0], torch.tensor([0.1, 1.0, 0.5]), rtol=0.15, atol=0)
    torch.testing.assert_close(prior().logits.exp()[order], torch.tensor([0.5, 0.3, 0.2]), atol=0.01, rtol=0)
    with pytest.raises(DataError, match="got 2 codes for a mixture of 3"):
        prior.check(2)


def exemplar(examples: int = 4, components: int = 2) -> priors.ExemplarPrior:
    torch.manual_seed(0)
    q = posteriors.DiagonalNormal(MLP(5, [6], (2, 2), torch.nn.Tanh), 2)
    prior = priors.ExemplarPrior(q, 2, (5,), examples, components)
    prior.remember(torch.randn(examples, 5, generator=torch.Generator().manual_seed(1)))
    return prior


def test_exemplar_prior_is_a_mixture_built_by_hand() -> None:
    prior, z = exemplar().eval(), torch.randn(7, 3, 2)
    means = prior.posterior(prior.exemplars).mean
    by_hand = Independent(Normal(means, torch.ones(2)), 1).log_prob(z[..., None, :]).logsumexp(-1) - math.log(4)
    torch.testing.assert_close(prior().log_prob(z), by_hand)
    prior.train()
    assert prior().loc.requires_grad
    with torch.no_grad():
        prior.posterior.net.net[-1].weight.mul_(2.0)
    assert not torch.equal(prior.eval()().loc, means)  # of the weights as they are now
    with pytest.raises(DataError, match="got 3 examples for 4 exemplars"):
        prior.remember(torch.zeros(3, 5))


def test_exemplars_of_a_step_average_to_all_of_them() -> None:
    """E[p_M(z)] = p(z), and so E[log p_M(z)] ≤ log p(z)."""
    prior, z, n = exemplar(), torch.randn(5, 2), 4000
    with torch.no_grad():
        drawn = torch.stack([prior().log_prob(z) for _ in range(n)])
        exact = prior.eval()().log_prob(z)
    p, error = drawn.exp().mean(0), drawn.exp().std(0) / math.sqrt(n)
    assert ((p - exact.exp()).abs() < 4 * error).all()
    assert (drawn.mean(0) < exact).all()


def test_exemplar_prior_is_saved_without_its_exemplars() -> None:
    prior, z = exemplar().eval(), torch.randn(7, 2)
    assert "exemplars" not in prior.state_dict()
    other = priors.ExemplarPrior(posteriors.DiagonalNormal(MLP(5, [6], (2, 2), torch.nn.Tanh), 2), 2, (5,), 4, 2)
    other.load_state_dict(prior.state_dict())
    torch.testing.assert_close(other.eval()().log_prob(z), prior().log_prob(z))


def test_a_posterior_inside_the_prior_has_no_loss_of_its_own() -> None:
    """Wake–sleep is refused; objectives for each player are not (tests/test_split.py)."""
    model = elbox.recipes.vamp_vae(DataSpec((5,), "binary"), latent=2, components=3, hidden=(6,)).model
    x, wake_sleep = torch.ones(3, 5), elbox.estimators.WakeSleep()
    with pytest.raises(IncompatibleError, match=r"VampPrior holds the posterior; use a StandardNormal prior, or Rep"):
        wake_sleep(model, x, elbox.ELBO())
    plain = VAE(priors.StandardNormal(2), model.likelihood, model.posterior)
    assert wake_sleep(plain, x, elbox.ELBO()).loss.isfinite()
    assert elbox.Reparameterized()(model, x, elbox.objectives.PIWAE(2, 2)).loss.isfinite()


@pytest.mark.parametrize("name", ["NormalMixture", "SpikeSlab", "MixtureOfExperts", "ProductOfExperts"])
@pytest.mark.parametrize("estimator", [elbox.Reparameterized(), elbox.Path()], ids=lambda e: type(e).__name__)
def test_recorded_step_has_the_eager_gradient(name: str, estimator: elbox.estimators.Estimator) -> None:
    """As long runs are trained, under a prior whose draws and densities are recorded too."""
    model = VAE(make("priors.NormalMixture"), make("likelihoods.Gaussian"), make(f"posteriors.{name}"))
    step, x = Step(model, elbox.ELBO(samples=2), estimator), torch.randn(7, 5)
    state = list(step.parameters())

    def gradient(x: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(step(x)[0], state))

    recorded, found = trace(gradient, state, [x]), []
    for call in (lambda: gradient(x), lambda: recorded(*state, x)):
        torch.manual_seed(1)
        found.append(call())
    for eager, other in zip(*found, strict=True):
        torch.testing.assert_close(other, eager)
