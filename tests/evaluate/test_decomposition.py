"""The three terms of the rate: closed forms, quadrature, and the identity that ties them to it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from elbox import VAE, DataSpec, Evaluation, evaluate, recipes
from elbox.evaluate import decomposition
from elbox.evaluate.bounds import bounds
from elbox.likelihoods import FixedGaussian
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal
from elbox.priors import LearnedNormal, NormalMixture, StandardNormal
from tests.evaluate.toys import Undescribed, learned_normal, set_affine, unclipped

TERMS = ("mutual_information", "total_correlation", "dimension_kl")


def linear(weight: Tensor, sigma: float, prior: torch.nn.Module | None = None) -> VAE:
    """q(z|x) = N(Ax, σ²I)."""
    latent, dims = weight.shape
    encoder = MLP(dims, [], (2, latent))
    scale = unclipped(torch.full((latent,), math.log(sigma)))
    set_affine(encoder, torch.stack([weight, torch.zeros_like(weight)]), torch.stack([torch.zeros(latent), scale]))
    return VAE(prior or StandardNormal(latent), FixedGaussian(MLP(latent, [], dims)), DiagonalNormal(encoder, latent))


def terms(result: Evaluation) -> list[float]:
    return [getattr(result, name).mean for name in TERMS]


WEIGHT = torch.tensor([[1.0, 0.3, 0.0], [0.8, -0.6, 0.2]])


@pytest.mark.parametrize("codes", ["all", "some"])
@pytest.mark.parametrize("prior", ["standard", "learned"])
def test_the_three_terms_are_the_rate(codes: str, prior: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To rounding, whether every example gave a code or only some."""
    if codes == "some":
        monkeypatch.setattr(decomposition, "DENSITIES", 300 * 2 * 40)
    model = linear(WEIGHT, 0.5, learned_normal() if prior == "learned" else None)
    result = evaluate(model, torch.randn(300, 3), samples=2)
    assert sum(terms(result)) == pytest.approx(result.rate.mean, rel=1e-9)
    assert result.aggregated == 300
    assert result.codes == (40 if codes == "some" else 33 * 300)


def by_quadrature(model: VAE, x: Tensor) -> dict[str, float]:
    """The terms for N given examples and two latents, on a grid."""
    q, p = model.encode(x).base_dist, model.prior().base_dist
    line = torch.linspace(-10, 10, 1001, dtype=torch.float64)
    cell = (line[1] - line[0]).item()
    each = Normal(q.loc.double(), q.scale.double()).log_prob(line[:, None, None]).exp()  # [G, N, 2]
    joint = torch.einsum("an,bn->ab", each[..., 0], each[..., 1]) / len(x)
    marginal = each.mean(1)  # [G, 2]
    log_p = Normal(p.loc.double(), p.scale.double()).log_prob(line[:, None])
    entropy = -(joint * joint.clamp(min=1e-300).log()).sum().item() * cell**2
    entropies = -(marginal * marginal.clamp(min=1e-300).log()).sum(0) * cell
    return {
        "mutual_information": entropy - q.entropy().sum(-1).mean().item(),
        "total_correlation": entropies.sum().item() - entropy,
        "dimension_kl": (-entropies.sum() - (marginal * log_p).sum() * cell).item(),
    }


@pytest.mark.parametrize("sigma", [0.3, 1.0])
@torch.no_grad()
def test_against_quadrature(sigma: float) -> None:
    """Five examples *are* the data set: within 4 standard errors, which are honest over seeds."""
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(3))
    model = linear(2 * WEIGHT, sigma, learned_normal())
    exact = by_quadrature(model, x)
    results = [evaluate(model, x, samples=1, seed=seed) for seed in range(12)]
    for name in TERMS:
        means, errors = zip(*[(getattr(r, name).mean, getattr(r, name).se) for r in results], strict=True)
        scores = (np.array(means) - exact[name]) / np.array(errors)
        assert np.abs(scores).max() < 4, name
        assert 0.4 < np.sqrt((scores**2).mean()) < 1.7, name  # neither too sure nor too modest


def test_of_gaussians_in_closed_form() -> None:
    """x ~ N(0, I), q(z|x) = N(Ax, σ²I): q(z) = N(0, AAᵀ + σ²I), up to the finite number of examples."""
    torch.manual_seed(0)
    sigma, x = 0.7, torch.randn(3000, 3)
    result = evaluate(linear(WEIGHT, sigma), x, samples=1)
    cov = (WEIGHT @ torch.cov(x.T) @ WEIGHT.T + sigma**2 * torch.eye(2)).double()
    variances = cov.diagonal()
    log_det = torch.logdet(cov)
    exact = [
        0.5 * (log_det - 4 * math.log(sigma)),
        0.5 * (variances.log().sum() - log_det),
        0.5 * (variances - 1 - variances.log()).sum(),
    ]
    for name, value in zip(TERMS, exact, strict=True):
        found = getattr(result, name)
        assert found.mean == pytest.approx(value.item(), abs=4 * found.se + 0.01), name


def test_one_dimension_has_no_total_correlation() -> None:
    result = evaluate(linear(WEIGHT[:1], 0.5), torch.randn(50, 3), samples=1)
    assert result.total_correlation.mean == pytest.approx(0, abs=1e-6)
    assert result.total_correlation.se == pytest.approx(0, abs=1e-6)


def test_information_cannot_exceed_the_number_of_examples() -> None:
    """Posteriors that do not overlap: the information is log N, whatever the rate."""
    result = evaluate(linear(WEIGHT, 1e-4), torch.randn(64, 3), samples=1)
    assert result.mutual_information.mean == pytest.approx(math.log(64), abs=1e-5)
    assert result.rate.mean > 2 * math.log(64)
    assert sum(terms(result)) == pytest.approx(result.rate.mean, rel=1e-6)


def test_a_posterior_that_ignores_the_example_has_nothing_of_all() -> None:
    result = evaluate(linear(torch.zeros(2, 3), 1.0), torch.randn(30, 3), samples=1)
    assert terms(result) == pytest.approx([0, 0, 0], abs=1e-5)


@pytest.mark.parametrize("memory", [2**28, 5000])
def test_chunks_do_not_matter(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = linear(WEIGHT, 0.5), torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    right = evaluate(model, x, samples=1)
    monkeypatch.setattr(decomposition, "BLOCK", 5000)
    found = evaluate(model, x, samples=1, memory=memory)
    if memory == 2**28:  # the codes were drawn in the same chunks
        assert terms(found) == pytest.approx(terms(right), rel=1e-5)
    for name in TERMS:
        a, b = getattr(found, name), getattr(right, name)
        assert abs(a.mean - b.mean) < 4 * math.hypot(a.se, b.se) + 1e-5


def test_more_examples_than_are_aggregated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones, and the sum is their mean rate."""
    monkeypatch.setattr(decomposition, "EXAMPLES", 20)
    model, x = linear(WEIGHT, 0.5), torch.randn(100, 3)
    result = evaluate(model, x, samples=1)
    assert (result.aggregated, result.codes) == (20, 10_000)
    assert sum(terms(result)) == pytest.approx(result.per_example["rate"][:20].mean(), rel=1e-9)


def test_bytes_and_conditions() -> None:
    model = recipes.vae(DataSpec((6,), "binary"), latent=3, hidden=(4,)).model
    x = torch.randint(2, (40, 6), dtype=torch.uint8)
    assert evaluate(model, x, samples=1).mutual_information is not None
    encoder, decoder = MLP(6, [4], (2, 2), context=3), MLP(2, [4], 6, context=3)
    conditional = VAE(StandardNormal(2), FixedGaussian(decoder), DiagonalNormal(encoder, 2))
    result = evaluate(conditional, x.float(), c=torch.eye(3).repeat(14, 1)[:40], samples=1)
    assert sum(terms(result)) == pytest.approx(result.rate.mean, rel=1e-6)


def test_only_where_posterior_and_prior_factorise() -> None:
    x = torch.randn(20, 3)
    mixture = linear(WEIGHT, 0.5, NormalMixture(2))
    transformed = linear(WEIGHT, 0.5)
    transformed.posterior = Undescribed(transformed.posterior)
    full = recipes.vae_full_covariance(DataSpec((3,), "real"), latent=2, hidden=(4,)).model
    coded = recipes.ae(DataSpec((3,), "real"), latent=2, hidden=(4,)).model
    for model in (mixture, transformed, full, coded):
        result = evaluate(model, x, samples=2)
        assert {getattr(result, name) for name in TERMS} == {None}
        assert (result.aggregated, result.codes) == (0, 0)


def test_reported_and_saved() -> None:
    result = evaluate(linear(WEIGHT, 0.5, LearnedNormal(2)), torch.randn(30, 3), samples=2)
    names = [name for name, _, _ in result.rows()]
    assert names[names.index("rate, closed form") + 1 :][:3] == [
        "mutual information",
        "total correlation",
        "dimension-wise KL",
    ]
    assert Evaluation.from_json(json.loads(json.dumps(result.to_json()))).total_correlation == result.total_correlation


def test_the_other_numbers_stay_as_they_are() -> None:
    model, x = linear(WEIGHT, 0.5), torch.randn(30, 3)
    whole, part = evaluate(model, x, samples=7), bounds(model, x, samples=7)
    assert part.mutual_information is None
    assert all((whole.per_example[name] == part.per_example[name]).all() for name in part.per_example)


def test_one_example() -> None:
    result = evaluate(linear(WEIGHT, 0.5), torch.randn(1, 3), samples=1)
    assert terms(result)[:2] == pytest.approx([0, 0], abs=1e-5)
    assert result.dimension_kl.mean == pytest.approx(result.rate.mean)
