"""Auxiliary latent variables: the bound is that of the margin where r is exact, and a lower one where it is not."""

from __future__ import annotations

import pathlib

import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

import elbox
from elbox import ELBO, IWAE, VAE, AnalyticKL, IncompatibleError, Path, Score, draws, report
from elbox.distributions import diagonal_normal
from elbox.estimators import MonteCarloEM, WakeSleep
from elbox.evaluate import encode
from elbox.nn import MLP
from elbox.posteriors import Auxiliary, DiagonalNormal
from tests.closed_form.linear import DIMS, LATENT, data, evidence, linear_gaussian, true_posterior, unclip


def affine(given: int) -> DiagonalNormal:
    return DiagonalNormal(MLP(DIMS, [], (2, LATENT), context=given), LATENT)


@torch.no_grad()
def set_rows(part: DiagonalNormal, weight: Tensor, bias: Tensor, scale: Tensor) -> None:
    (layer,) = part.net.net
    layer.weight.zero_()
    layer.weight[:LATENT] = weight
    layer.bias.copy_(torch.cat([bias, unclip(scale.log())]))


def mixed(*, exact: bool = True) -> tuple[VAE, VAE]:
    """A linear-Gaussian model with its true posterior, and the same with that as the margin of q(a|x) q(z|a, x).

    With z = m(x) + s t a + s √(1 − t² v) ε and a ~ N(0, v) in each dimension, z|x ~ N(m, s²), and a|z is
    N(t v (z − m) / s, v (1 − t² v)).
    """
    torch.manual_seed(1)
    vae = linear_gaussian("diagonal")
    (layer,) = vae.posterior.net.net
    slope, mean = layer.weight[:LATENT].detach(), layer.bias[:LATENT].detach()
    s = true_posterior(vae, torch.zeros(1, DIMS).double()).variance.reshape(-1)[:LATENT].sqrt()
    v, t = torch.tensor([0.5, 1.4]).double(), torch.tensor([0.9, -0.6]).double()
    parts = [affine(0).double(), affine(LATENT).double(), affine(LATENT).double()]
    rest = (1 - t.square() * v).sqrt()
    set_rows(parts[0], torch.zeros(LATENT, DIMS).double(), torch.zeros(LATENT).double(), v.sqrt())
    set_rows(parts[1], torch.cat([slope, torch.diag(s * t)], 1), mean, s * rest)
    back = torch.diag(t * v / s)
    set_rows(parts[2], torch.cat([-back @ slope, back], 1), -back @ mean, v.sqrt() * rest)
    if not exact:
        with torch.no_grad():
            for p in parts[2].parameters():
                p.add_(0.2 * torch.randn_like(p))
    return vae, VAE(vae.prior, vae.likelihood, Auxiliary(*parts, LATENT))


def test_exact_reverse_is_the_margin() -> None:
    """log q(a|x) + log q(z|a, x) − log r(a|x, z) = log q(z|x) at every draw: here every weight is the evidence."""
    vae, model = mixed()
    x = data(5)
    terms = model.terms(x, 7)
    assert list(terms.groups) == ["a", "z"]
    assert terms.groups["a"].z.std() > 0.5
    a, z = terms.groups["a"], terms.groups["z"]
    margin = vae.posterior(x).log_prob(z.z)
    torch.testing.assert_close(z.log_qz + a.log_qz - a.log_pz, margin)
    torch.testing.assert_close(terms.log_w, evidence(vae, x).expand(7, -1))


def test_other_reverse_is_a_lower_bound() -> None:
    """E log w < log p(x) by E KL(q(a|x, z) ‖ r), in closed form; and E w = p(x) still."""
    vae, model = mixed(exact=False)
    exact, x = mixed()[1], data(4)
    with torch.no_grad():
        terms = model.terms(x, 40_000)
        z, truth = terms.groups["z"].z, evidence(vae, x)
        wide = (x.expand(len(z), *x.shape), z)
        gap = torch.distributions.kl_divergence(exact.posterior.reverse(wide), model.posterior.reverse(wide))
    off = terms.log_w + gap - truth
    assert (off.mean(0).abs() < 4 * off.std(0) / 200).all()
    assert (gap.mean(0) > 0.01).all()
    ratio = (terms.log_w - truth).exp()
    assert ((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / 200).all()


def test_one_group_or_two() -> None:
    """`encode` returns a distribution whose draws are scored as the two groups are."""
    _, model = mixed(exact=False)
    x = data(3)
    torch.manual_seed(0)
    z, log_q = model.encode(x).rsample_and_log_prob((6,))
    torch.manual_seed(0)
    groups = model.terms(x, 6).groups
    torch.testing.assert_close(z, groups["z"].z)
    torch.testing.assert_close(log_q, sum(g.log_qz for g in groups.values()) - groups["a"].log_pz)
    with pytest.raises(IncompatibleError, match="got codes to be scored by Auxiliary"):
        model.encode(x).log_prob(z)


def test_rate_of_a_has_no_closed_form() -> None:
    """KL(q(a|x) ‖ r(a|x, z)) of the two distributions is another number: z was drawn given a."""
    _, model = mixed()
    terms = model.terms(data(3), 20_000)
    groups = terms.with_kl().groups
    assert groups["a"].kl is None
    assert groups["z"].kl is not None
    wrong = torch.distributions.kl_divergence(groups["a"].posterior, groups["a"].prior).mean(0)
    assert ((groups["a"].rate - wrong).abs() > 0.05).all()
    torch.testing.assert_close(terms.with_kl().rate, terms.rate, atol=0.05, rtol=0)
    with pytest.raises(IncompatibleError, match=r"AnalyticKL needs a closed-form KL.*use Reparameterized\(\)"):
        AnalyticKL()(model, data(3), ELBO())


@pytest.mark.parametrize(
    ("estimator", "goal"), [(Path(), IWAE(2)), (WakeSleep(), ELBO()), (MonteCarloEM(), ELBO()), (AnalyticKL(), ELBO())]
)
def test_refused(estimator: elbox.estimators.Estimator, goal: elbox.Objective) -> None:
    with pytest.raises(IncompatibleError, match=r"use Reparameterized\(\)"):
        estimator(mixed()[1], data(3), goal)


def test_condition_is_seen() -> None:
    torch.manual_seed(0)
    normal = [DiagonalNormal(MLP(5, [4], (2, d), context=3 + c), d) for d, c in ((4, 0), (2, 4), (4, 2))]
    decoder = elbox.likelihoods.Bernoulli(MLP(2, [8], 5, context=3))
    model = VAE(elbox.priors.StandardNormal(2), decoder, Auxiliary(*normal, 2))
    x, c = torch.rand(6, 5).round(), torch.randn(6, 3)
    assert model.terms(x, 3, c=c).log_w.shape == (3, 6)
    assert model.reconstruct(x, c=c).shape == (6, 5)
    assert model.log_prob(x, 5, c=c).shape == (6,)


def test_verbs_of_a_trained_run(tmp_path: pathlib.Path) -> None:
    """Training, evaluation, a saved run, codes: all with a group more."""
    x = elbox.load("digits", binarise="threshold")
    recipe = elbox.recipes.auxiliary_vae(x.spec, latent=3, auxiliary=2, hidden=(30,))
    run = elbox.fit(recipe, x, elbox.Training(epochs=2), out=tmp_path / "run")
    result = elbox.evaluate(run.model, x.examples("test"), samples=20)
    assert result.log_likelihood.mean > result.elbo.mean
    assert not result.closed_form
    assert len(result.variance_of_means) == 3, "codes are z, without a"
    assert result.rate_per_dimension == ()
    again = elbox.load_run(tmp_path / "run").model
    codes = [encode(m, x.examples("test")) for m in (run.model, again)]
    assert codes[0].shape == (len(x.examples("test")), 3)
    torch.testing.assert_close(*codes)
    assert report.write(run, result).exists()
    fitted = elbox.fit_prior(run.model, x.examples("train"), elbox.priors.FittedMixture(3, components=2))
    assert fitted.model.sample(3).shape == (3, *x.spec.event_shape)


def test_discrete_codes_with_auxiliary_variables() -> None:
    """Only what asks for a path through z is refused."""
    posterior = Auxiliary(
        DiagonalNormal(MLP(5, [4], (2, 3)), 3),
        elbox.posteriors.BernoulliCode(MLP(5, [4], 2, context=3), 2),
        DiagonalNormal(MLP(5, [4], (2, 3), context=2), 3),
        2,
    )
    model = VAE(elbox.priors.BernoulliPrior(2), elbox.likelihoods.Bernoulli(MLP(2, [4], 5)), posterior)
    x = torch.rand(4, 5).round()
    Score()(model, x, ELBO(samples=2)).loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model.encode(x).sample((3,)).unique().tolist() == [0.0, 1.0]


def test_draws_keep_their_gradients() -> None:
    q: Distribution = mixed()[1].encode(data(3))
    assert q.rsample().requires_grad
    assert not q.sample().requires_grad
    assert draws.sample(mixed()[1].posterior, data(3), 2).z.shape == (2, 3, LATENT)
    assert diagonal_normal(torch.zeros(2), torch.ones(2)).event_shape == q.event_shape
