"""Distributions over discrete codes: enumeration, KLs, and the continuous variables behind the codes."""

from __future__ import annotations

import itertools
import math

import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Independent, kl_divergence

from elbox import VAE, IncompatibleError, ShapeError, draws, evaluate, likelihoods, posteriors, priors
from elbox.distributions import Bits, OneHots
from elbox.nn import MLP
from elbox.terms import Group

torch.manual_seed(0)
LOGITS = torch.randn(4, 6, dtype=torch.float64)
FAMILIES = {"bits": Bits(LOGITS, 1), "pairs": OneHots(LOGITS, 2), "triples": OneHots(LOGITS, 3)}


def by_hand(family: str) -> Tensor:
    """All codes, from the definition."""
    blocks = {"bits": [[0.0], [1.0]], "pairs": torch.eye(2).tolist(), "triples": torch.eye(3).tolist()}[family]
    rows = itertools.product(blocks, repeat=6 // len(blocks[0]))
    return torch.tensor([[*itertools.chain(*row)] for row in rows], dtype=torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
def test_codes_are_all_codes_and_their_probabilities_sum_to_one(family: str) -> None:
    q, expected = FAMILIES[family], by_hand(family)
    assert q.size == len(expected) == len(q.codes())
    assert {tuple(row) for row in q.codes().tolist()} == {tuple(row) for row in expected.tolist()}
    p = q.log_prob(q.codes()[:, None]).exp()
    torch.testing.assert_close(p.sum(0), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close((p[..., None] * q.codes()[:, None]).sum(0), q.mean)
    centred = (q.codes()[:, None] - q.mean).square()
    torch.testing.assert_close((p[..., None] * centred).sum(0), q.variance)
    assert q.support.check(q.codes()).all()
    assert not q.support.check(torch.full((6,), 0.5)).any()


def test_log_probabilities_are_those_of_torch() -> None:
    z = by_hand("triples")[:, None]
    plain = Categorical(logits=LOGITS.unflatten(-1, (2, 3))).log_prob(z.unflatten(-1, (2, 3)).argmax(-1)).sum(-1)
    torch.testing.assert_close(FAMILIES["triples"].log_prob(z), plain)
    z = by_hand("bits")[:, None]
    torch.testing.assert_close(FAMILIES["bits"].log_prob(z), Independent(Bernoulli(logits=LOGITS), 1).log_prob(z))


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_have_these_probabilities(family: str) -> None:
    """χ² of 40 000 draws over all codes; the noisy variable, rounded, is such a draw too."""
    torch.manual_seed(1)
    q = FAMILIES[family].at(0.5 * LOGITS[0])
    for draw in (q.sample((40_000,)), q.harden(q.noisy((40_000,)))):
        assert draw.dtype == torch.float64
        counts = (draw[:, None] == q.codes()).all(-1).sum(0).double()
        expected = 40_000 * q.log_prob(q.codes()).exp()
        assert scipy.stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_kl_is_the_sum_over_all_codes(family: str) -> None:
    """Of a batch [4] of posteriors and one prior; and for each variable."""
    q, p = FAMILIES[family], FAMILIES[family].at(torch.linspace(-1, 2, 6, dtype=torch.float64))
    z = q.codes()[:, None]
    exact = (q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))).sum(0)
    torch.testing.assert_close(kl_divergence(q, p), exact)
    z = q.sample((5,))
    group = Group(z, p.log_prob(z), q.log_prob(z), p, q)
    for one in (group, group.with_kl()):
        each = one.rate_per_dimension()
        assert each.shape == (4, {"bits": 6, "pairs": 3, "triples": 2}[family])
        torch.testing.assert_close(each.sum(-1), one.rate)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale", [1.0, 50.0, 300.0])
def test_kl_is_finite_for_any_logits(family: str, scale: float) -> None:
    scores = (scale * LOGITS.float()).requires_grad_()
    q, p = FAMILIES[family].at(scores), FAMILIES[family].at(-scale * LOGITS[0].float())
    kl = kl_divergence(q, p)
    kl.sum().backward()
    assert kl.isfinite().all()
    assert (kl > -1e-4).all()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_noisy_variable_given_the_code_is_the_noisy_variable(family: str) -> None:
    q = FAMILIES[family].at(LOGITS.clone().requires_grad_())
    noisy = q.noisy((1000,))
    code = q.harden(noisy)
    torch.testing.assert_close(q.given(code, noisy), noisy, rtol=1e-9, atol=1e-9)
    for temperature in (0.1, 1.0):
        soft = q.soften(noisy, temperature)
        assert ((soft > 0.5) <= (code == 1)).all()
    torch.testing.assert_close(q.soften(noisy, 1e-9), code)


def test_conditional_draw_of_bits() -> None:
    """Grathwohl et al. (2018), appendix B: log(v/((1 − v)(1 − θ)) + 1) if b = 1, −log(v/((1 − v) θ) + 1) if b = 0."""
    torch.manual_seed(2)
    scores = LOGITS[0].clone().requires_grad_()
    q, theta = Bits(scores, 1), torch.sigmoid(scores)
    noisy = q.noisy((20_000,)).detach()
    code, odds = q.harden(noisy), torch.where(noisy > 0, 1 - theta, theta)
    v = ((noisy.abs().exp() - 1) * odds).detach()
    v = v / (1 + v)
    for d, b in itertools.product(range(6), (0, 1)):  # uniform given the code
        assert scipy.stats.kstest(v[code[:, d] == b, d].numpy(), "uniform").pvalue > 1e-3
    plain = (2 * code - 1) * torch.log(v / ((1 - v) * odds) + 1)
    found = q.given(code, noisy)
    torch.testing.assert_close(found, plain)
    weights = torch.rand_like(found)
    expected = torch.autograd.grad(plain, scores, weights)[0]
    torch.testing.assert_close(torch.autograd.grad(found, scores, weights)[0], expected)


def test_conditional_draw_of_categories() -> None:
    """Ibid.: z̃_k = −log(−log v_k) for the chosen k, z̃_c = −log(−log v_c / θ_c − log v_k) for the others."""
    torch.manual_seed(3)
    scores = LOGITS[0, :3].clone().requires_grad_()
    q, theta = OneHots(scores, 3), torch.softmax(scores, -1)
    noisy = q.noisy((30_000,)).detach()
    code = q.harden(noisy)
    top = noisy.amax(-1, keepdim=True)
    v_top = torch.exp(-torch.exp(-top))
    v = torch.where(code == 1, v_top, torch.exp(-theta * (torch.exp(-noisy) - torch.exp(-top)))).detach()
    for k, c in itertools.product(range(3), range(3)):
        assert scipy.stats.kstest(v[code[:, k] == 1, c].numpy(), "uniform").pvalue > 1e-3
    others = -torch.log(-torch.log(v) / theta - torch.log(v_top))
    plain = torch.where(code == 1, -torch.log(-torch.log(v)), others)
    found = q.given(code, noisy)
    torch.testing.assert_close(found, plain)
    weights = torch.rand_like(found)
    expected = torch.autograd.grad(plain, scores, weights)[0]
    torch.testing.assert_close(torch.autograd.grad(found, scores, weights)[0], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_and_its_gradient_are_finite(family: str, dtype: torch.dtype) -> None:
    """A million draws, for flat and for extreme logits."""
    torch.manual_seed(4)
    scores = torch.cat([torch.zeros(1, 6), 40 * LOGITS]).to(dtype).requires_grad_()
    q = FAMILIES[family].at(scores)
    noisy = q.noisy((40_000,))
    tilde = q.given(q.harden(noisy), noisy)
    assert noisy.isfinite().all()
    (gradient,) = torch.autograd.grad(tilde.sum() + q.soften(noisy, 0.05).sum(), scores)
    assert gradient.isfinite().all()
    assert (tilde - noisy).abs().max() < 1e-2


def code_model(family: str) -> VAE:
    torch.manual_seed(5)
    if family == "bits":
        parts = priors.BernoulliPrior(4, 0.3), posteriors.BernoulliCode(MLP(5, [], 4), 4)
    else:
        parts = priors.CategoricalPrior(2, 2), posteriors.CategoricalCode(MLP(5, [], (2, 2)), 2, 2)
    return VAE(parts[0], likelihoods.Bernoulli(MLP(4, [], 5)), parts[1]).double()


@pytest.mark.parametrize("family", ["bits", "pairs"])
def test_evaluation_of_a_discrete_model_is_exact_in_the_limit(family: str) -> None:
    """Rate in closed form, and log p(x) = log Σ_z p(z) p(x|z), which 4000 samples reach."""
    model = code_model(family)
    x = torch.tensor([[1.0, 0, 1, 1, 0], [0, 0, 0, 1, 1]], dtype=torch.float64)
    found = evaluate(model, x, samples=4000)
    z = model.prior().codes()[:, None].expand(-1, 2, -1)
    joint = model.likelihood(z).log_prob(x) + model.prior().log_prob(z)
    q = model.posterior(x)
    rate = (q.log_prob(z).exp() * (q.log_prob(z) - model.prior().log_prob(z))).sum(0)
    assert found.closed_form
    assert found.rate.mean == pytest.approx(rate.mean().item(), rel=1e-6)
    assert found.log_likelihood.mean == pytest.approx(torch.logsumexp(joint, 0).mean().item(), abs=0.05)
    assert sum(found.rate_per_dimension) == pytest.approx(found.rate.mean, rel=1e-6)
    assert len(found.rate_per_dimension) == len(found.variance_of_means) == 4


def test_priors_start_where_they_are_asked_to() -> None:
    assert priors.BernoulliPrior(3)().mean.tolist() == [0.5] * 3
    assert priors.BernoulliPrior(3, 0.2)().mean.tolist() == pytest.approx([0.2] * 3)
    assert priors.CategoricalPrior(2, 5)().mean.tolist() == pytest.approx([0.2] * 10)
    log_p = priors.CategoricalPrior(2, 5, learned=True)().log_prob(torch.eye(5).repeat(1, 2))
    torch.testing.assert_close(log_p, torch.full((5,), -2 * math.log(5)))
    assert [len(list(p.parameters())) for p in (priors.BernoulliPrior(3), priors.CategoricalPrior(2, 5))] == [0, 0]


MISMATCHES = {
    "bits under a normal prior": (posteriors.BernoulliCode(MLP(5, [], 4), 4), priors.StandardNormal(4)),
    "bits under categories": (posteriors.BernoulliCode(MLP(5, [], 4), 4), priors.CategoricalPrior(2, 2)),
    "categories under bits": (posteriors.CategoricalCode(MLP(5, [], (2, 2)), 2, 2), priors.BernoulliPrior(4)),
    "two categories under four": (posteriors.CategoricalCode(MLP(5, [], (2, 2)), 2, 2), priors.CategoricalPrior(1, 4)),
    "a normal posterior under bits": (posteriors.DiagonalNormal(MLP(5, [], (2, 4)), 4), priors.BernoulliPrior(4)),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_probabilities_and_densities_do_not_mix(name: str) -> None:
    posterior, prior = MISMATCHES[name]
    model = VAE(prior, likelihoods.Bernoulli(MLP(4, [], 5)), posterior)
    fits = {"bits": "BernoulliPrior", "categories": "CategoricalPrior of as many categories"}
    way_out = next((fit for word, fit in fits.items() if word in name.split(" under ")[0]), "StandardNormal prior")
    with pytest.raises(
        IncompatibleError, match=rf"got a \w+ posterior over .* with a \w+ prior over .*; use a {way_out}$"
    ):
        model.terms(torch.ones(2, 5), draw=draws.sample)


@pytest.mark.parametrize(
    "posterior",
    [posteriors.BernoulliCode(MLP(5, [], 3), 4), posteriors.CategoricalCode(MLP(5, [], (4, 2)), 2, 4)],
    ids=["bits", "categories"],
)
def test_network_of_the_wrong_shape(posterior: torch.nn.Module) -> None:
    with pytest.raises(ShapeError, match=r"got a network output of shape .* for \w+Code; expected its last"):
        posterior(torch.ones(2, 5))
