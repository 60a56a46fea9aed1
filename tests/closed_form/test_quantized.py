"""Quantised codes against their definitions: nearest vectors, grids, moving averages, who trains whom, evidence."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor, nn

from elbox import ELBO, VAE, IncompatibleError, draws, evaluate, likelihoods, log_likelihood, recipes
from elbox.distributions import Quantized
from elbox.errors import SettingError, ShapeError
from elbox.estimators import Score, StraightThrough
from elbox.nn import MLP, CausalTransformer, Codebook, FiniteScalar, PixelCNN, Quantizer, Summed
from elbox.objectives import Commitment, Penalized
from elbox.posteriors import CategoricalCode, QuantizedCode
from elbox.priors import CategoricalPrior, CodePrior
from tests.components import BINARY

P, D, FEATURES = 2, 3, 5


def model(codebook: Quantizer, *, positions: int = P) -> VAE:
    torch.manual_seed(0)
    encoder = MLP(FEATURES, [6], QuantizedCode.output_shape(positions, codebook), nn.Tanh)
    decoder = Summed(MLP(positions * codebook.width, [6], FEATURES, nn.Tanh), codebook.depth)
    return VAE(CodePrior(codebook, positions), likelihoods.Bernoulli(decoder), QuantizedCode(encoder, codebook))


def batch(n: int = 8, seed: int = 1) -> Tensor:
    return torch.rand(n, FEATURES, generator=torch.Generator().manual_seed(seed)).round()


# What a quantiser is


@settings(max_examples=30, deadline=None)
@given(size=st.integers(2, 50), width=st.integers(1, 9), depth=st.integers(1, 4), seed=st.integers(0, 99))
def test_each_level_takes_the_nearest_vector_to_what_is_left(size: int, width: int, depth: int, seed: int) -> None:
    torch.manual_seed(seed)
    codebook, h = Codebook(size, width, depth).double().eval(), torch.randn(7, 2, width, dtype=torch.float64)
    encoded, codes = codebook.quantize(h)
    rest = h.clone()
    for level in range(depth):
        table = codebook.vectors[level]
        nearest = (rest[..., None, :] - table).square().sum(-1).argmin(-1)
        assert torch.equal(codes[..., level], nearest)
        rest = rest - table[nearest]
    q = Quantized(encoded, codebook(codes), codes, codebook)
    torch.testing.assert_close(q.errors[0][..., -1, :, :], rest)
    torch.testing.assert_close(codebook(codes).unflatten(-1, (depth, -1)).sum(-2), (h - rest).flatten(-2))
    assert torch.equal(codebook.codes(codebook(codes)), codes), "every vector is found again"


def test_vectors_that_nearly_agree_are_told_apart() -> None:
    """The look-up is exact where the nearest neighbour in single precision is not."""
    codebook = Codebook(2000, 4)
    codebook.vectors.copy_(100 + 1e-4 * torch.randn(2000, 4))
    codes = torch.arange(2000)[:, None, None]
    assert torch.equal(codebook(codebook.codes(codebook(codes))), codebook(codes))
    assert (codebook.codes(codebook(codes)) == codes).float().mean() > 0.99, "but for exact doubles"


@settings(max_examples=30, deadline=None)
@given(levels=st.lists(st.integers(3, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_finite_scalars_are_those_of_the_paper(levels: list[int], seed: int) -> None:
    grid = FiniteScalar(levels).double()
    h = 3 * torch.randn(50, 2, len(levels), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    encoded, codes = grid.quantize(h)
    for i, count in enumerate(levels):
        half, offset = (count - 1) * (1 - 1e-3) / 2, 0.0 if count % 2 else 0.5
        bounded = np.tanh(h[..., i].numpy() + np.arctanh(offset / half)) * half - offset
        np.testing.assert_allclose(encoded[..., i].numpy() * (count // 2), bounded, atol=1e-12)
        value = grid(codes).unflatten(-1, (2, -1))[..., i].numpy()
        np.testing.assert_allclose(value * (count // 2), np.round(bounded), atol=1e-12)
    everything = torch.arange(grid.size)[:, None, None]
    assert len({tuple(row) for row in grid(everything).tolist()}) == grid.size == math.prod(levels)
    assert torch.equal(grid.codes(grid(everything)), everything)
    assert torch.equal(grid.codes(grid(codes)), codes)
    assert FiniteScalar(levels).quantize(torch.zeros(1, 1, len(levels)))[0].abs().max() < 1e-6, "f(0) = 0"


def test_every_finite_scalar_can_be_reached() -> None:
    grid = FiniteScalar((3, 4, 8))
    axis = torch.linspace(-9, 9, 401)
    h = torch.stack([axis, axis, axis], -1)[:, None]
    codes = grid(grid.quantize(h)[1])
    assert [len(set(column.tolist())) for column in codes.T] == [3, 4, 8]


# The table in training


def test_moving_averages_are_those_of_the_appendix() -> None:
    """N ← γ N + (1 − γ) n, m ← γ m + (1 − γ) Σ z, e = m/N (van den Oord et al., 2017, A.1), from plain means on."""
    torch.manual_seed(0)
    codebook = Codebook(4, D, decay=0.8, dead=0.0).double()
    number, total = np.zeros(4), np.zeros((4, D))
    for t in range(12):
        h = torch.randn(30, 2, D, dtype=torch.float64)
        codebook.train()
        _, codes = codebook.quantize(h)
        keep, flat, code = min(0.8, t / (t + 1)), h.reshape(-1, D).numpy(), codes.flatten().numpy()
        number = keep * number + (1 - keep) * np.bincount(code, minlength=4) / 60
        total = keep * total + (1 - keep) * np.stack([flat[code == k].sum(0) for k in range(4)]) / 60
        np.testing.assert_allclose(codebook.usage[0], number, atol=1e-12)
        np.testing.assert_allclose(codebook.vectors[0], total / number[:, None], atol=1e-10)


@pytest.mark.parametrize("decay", [0.99, None])
def test_table_starts_at_the_batch_by_k_means(decay: float | None) -> None:
    """Well separated clusters are found within a few batches, each by some vector, wherever the table was made."""
    torch.manual_seed(0)
    codebook = Codebook(16, 2, decay=decay)
    centres = torch.tensor([[100.0, 0], [0, 100], [-100, 0], [0, -100]])
    for _ in range(50):
        codebook.quantize((centres[torch.randint(4, (64,))] + torch.randn(64, 2))[:, None])
    nearest = torch.cdist(centres, codebook.vectors[0].detach())
    assert (nearest.amin(1) < 1).all()
    assert (codebook.vectors[0].detach()[:, None] - centres).norm(dim=-1).amin(1).max() < 5, "none is left far away"


def test_dead_codes_live_again() -> None:
    """Codes that the data have left become vectors of the batch; with dead=0 they stay where they were."""
    for dead, alive in ((0.1, True), (0.0, False)):
        torch.manual_seed(0)
        codebook = Codebook(8, 2, decay=0.5, dead=dead)
        codebook.quantize(torch.randn(64, 1, 2))
        for _ in range(20):
            codebook.quantize(50 + torch.randn(64, 1, 2))
        assert bool(((codebook.vectors[0] - 50).norm(dim=-1) < 10).all()) is alive


@pytest.mark.parametrize("decay", [0.99, None])
def test_nothing_moves_in_evaluation_mode(decay: float | None) -> None:
    codebook = Codebook(8, D, decay=decay).eval()
    before = {name: t.clone() for name, t in codebook.state_dict().items()}
    codebook.quantize(torch.randn(20, P, D))
    assert all(torch.equal(t, before[name]) for name, t in codebook.state_dict().items())


def test_a_batch_twice_moves_the_table_as_once() -> None:
    tables = []
    for copies in (1, 3):
        torch.manual_seed(0)
        codebook = Codebook(8, D, depth=2, dead=0.0)
        codebook.batches.fill_(5)
        codebook.usage.fill_(1 / 8)
        codebook.quantize(torch.randn(20, P, D, generator=torch.Generator().manual_seed(1)).repeat(copies, 1, 1))
        tables.append(codebook.vectors)
    torch.testing.assert_close(*tables)


# Who trains whom


def gradients(vae: VAE, objective: Penalized | ELBO, x: Tensor) -> dict[str, Tensor]:
    vae.zero_grad()
    StraightThrough()(vae, x, objective).loss.backward()
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in vae.named_parameters()}


def test_commitment_reaches_the_encoder_alone_and_the_codebook_its_own_loss_alone() -> None:
    """β scales the first and not the second (van den Oord et al., 2017, eq. 3); the value holds the first alone."""
    vae, x = model(Codebook(6, D, depth=2, decay=None)).eval(), batch()
    plain, one, two = (gradients(vae, Penalized(ELBO(), [Commitment(b)]), x) for b in (0.0, 1.0, 2.0))
    for name in plain:
        if name.endswith("codebook.vectors"):
            assert torch.equal(one[name], two[name])
            torch.testing.assert_close(plain[name], one[name])
            assert one[name].any()
        elif name.startswith("posterior"):
            torch.testing.assert_close(two[name] - plain[name], 2 * (one[name] - plain[name]), rtol=1e-4, atol=1e-6)
            assert not torch.equal(one[name], plain[name])
        else:
            assert torch.equal(one[name], plain[name])
    without = gradients(vae, ELBO(), x)
    assert not without["prior.codebook.vectors"].any(), "the decoder's gradient goes past the codebook"
    assert all(torch.equal(without[n], plain[n]) for n in plain if "codebook" not in n)


def test_commitment_is_the_formula() -> None:
    vae, x = model(Codebook(6, D, decay=None)).eval(), batch()
    terms = vae.terms(x, draw=draws.sample)
    h, e = vae.posterior.net(x), vae.posterior.codebook.vectors[0]
    distance = (h[..., None, :] - e).square().sum(-1).amin(-1)  # [B, P]
    torch.testing.assert_close(Commitment()(terms), distance.sum(-1))
    torch.testing.assert_close(Commitment().own_loss(terms), distance.sum(-1).mean())
    objective = Penalized(ELBO(), [Commitment(0.25)])
    torch.testing.assert_close(objective(terms), terms.elbo - 0.25 * distance.sum(-1))


def test_loss_does_not_depend_on_the_batch_size() -> None:
    vae, x = model(Codebook(6, D, decay=None)).eval(), batch()
    one, two = (gradients(vae, Penalized(ELBO(), [Commitment()]), y) for y in (x, x.repeat(2, 1)))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)


def test_gradient_goes_straight_through() -> None:
    """∂/∂z_e is the decoder's ∂/∂(sum over levels) at the quantised point."""
    vae, x = model(Codebook(6, D, depth=3)).eval(), batch()
    q = vae.encode(x)
    q.encoded.retain_grad()
    vae.decode(q.straight_through).log_prob(x).sum().backward()
    summed = q.value.detach().unflatten(-1, (3, -1)).sum(-2).requires_grad_()
    p = vae.likelihood.net.net(summed)
    torch.distributions.Bernoulli(logits=p).log_prob(x).sum().backward()
    torch.testing.assert_close(q.encoded.grad.flatten(-2), summed.grad)
    assert torch.equal(q.straight_through, q.value)


def test_gradient_of_finite_scalars_is_that_of_their_bound() -> None:
    h = torch.randn(4, P, 2, dtype=torch.float64, requires_grad=True)
    grid = FiniteScalar((5, 3)).double()
    encoded, codes = grid.quantize(h)
    Quantized(encoded, grid(codes), codes, grid).straight_through.sum().backward()
    slope = (1 - h.detach().tanh().square()) * (1 - 1e-3)  # (L − 1)/2 = ⌊L/2⌋ for odd L
    torch.testing.assert_close(h.grad, slope)


# The bound


@pytest.mark.parametrize(
    "codebook", [Codebook(4, D), Codebook(3, D, depth=2), FiniteScalar((3, 4))], ids=["VQ", "residual", "FSQ"]
)
def test_elbo_is_below_the_evidence_and_the_rate_is_log_k(codebook: Quantizer) -> None:
    """log p(x) = log Σ_c p(c) p(x|e(c)), over all codes; with one position it is far from tight before training."""
    vae, x = model(codebook).eval(), batch()
    digits = torch.cartesian_prod(*[torch.arange(codebook.size)] * (P * codebook.depth))
    z = codebook(digits.unflatten(-1, (P, codebook.depth)))[:, None]
    with torch.no_grad():
        log_joint = vae.decode(z.expand(-1, len(x), -1)).log_prob(x) + vae.prior().log_prob(z)
        exact = torch.logsumexp(log_joint, 0)
        terms = vae.terms(x, draw=draws.sample)
    rate = P * codebook.depth * math.log(codebook.size)
    torch.testing.assert_close(terms.rate, torch.full((len(x),), rate))
    assert (terms.elbo < exact).all()
    assert (terms.elbo > exact - rate - (log_joint.amax(0) - log_joint.amin(0))).all()
    result = evaluate(vae, x, samples=50)
    assert (result.samples, result.log_likelihood.mean) == (1, pytest.approx(result.elbo.mean))
    torch.testing.assert_close(log_likelihood(vae, x, 50).float(), terms.elbo)


def causal(depth: int) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    nets = {
        "PixelCNN": PixelCNN((3, 4), 5, depth, hidden=8, layers=4, reach=1),
        "CausalTransformer": CausalTransformer(12, 5, depth, width=8, heads=2, layers=2),
    }
    for p in itertools.chain(*(net.parameters() for net in nets.values())):
        nn.init.normal_(p, std=0.5)
    return nets


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("name", ["PixelCNN", "CausalTransformer"])
def test_logits_depend_on_all_tokens_before_and_on_no_other(name: str, depth: int, training: bool) -> None:
    """Changed one by one: no blind spot, and nothing of the token itself or of those after it."""
    net, tokens = causal(depth)[name].double().train(training), 12 * depth
    codes = torch.randint(5, (1, 12, depth))
    with torch.no_grad():
        before = net(codes).reshape(tokens, -1)
        for t in range(tokens):
            other = codes.clone().reshape(-1)
            other[t] = (other[t] + 1) % 5
            changed = (net(other.reshape(codes.shape)).reshape(tokens, -1) - before).abs().amax(-1)
            assert (changed[: t + 1] < 1e-12).all()
            assert (changed[t + 1 :] > 1e-9).all(), (t, changed)


@pytest.mark.parametrize("name", ["PixelCNN", "CausalTransformer"])
def test_autoregressive_samples_have_the_exact_probabilities(name: str) -> None:
    """Σ_c p(c) = 1, and 40 000 draws are such draws (χ²)."""
    torch.manual_seed(0)
    codebook = Codebook(3, 2, depth=2)
    net = {"PixelCNN": PixelCNN((1, 2), 3, 2, 6), "CausalTransformer": CausalTransformer(2, 3, 2, 6, 2, 1)}[name]
    for p in net.parameters():
        nn.init.normal_(p, std=0.5)
    prior = CodePrior(codebook, 2, net)()
    z = codebook(torch.cartesian_prod(*[torch.arange(3)] * 4).unflatten(-1, (2, 2)))
    p = prior.log_prob(z).detach().exp().double()
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    drawn = prior.sample((40_000,))
    assert prior.support.check(drawn).all()
    index = (codebook.codes(drawn).flatten(-2) * torch.tensor([27, 9, 3, 1])).sum(-1)
    counts = torch.bincount(index, minlength=81).double()
    assert chisquare(counts.numpy(), (p / p.sum() * len(drawn)).numpy()).pvalue > 1e-3


def test_what_is_no_vector_has_probability_zero() -> None:
    prior = CodePrior(FiniteScalar((3, 3)), 2)()
    z = prior.sample((2,))
    assert prior.log_prob(z).isfinite().all()
    assert (prior.log_prob(z + 0.1) == -torch.inf).all()
    assert not prior.support.check(z + 0.1).any()


def test_learned_prior_fitted_to_codes_is_their_frequency() -> None:
    """The contract of a second stage: log p(z) is differentiable in the prior's parameters, and nothing else moves."""
    torch.manual_seed(0)
    codebook = Codebook(4, 2, decay=None)
    prior, codes = CodePrior(codebook, 2, learned=True), torch.randint(4, (500, 2, 1)) // torch.tensor([[1], [2]])
    z = codebook(codes).detach()
    optimizer = torch.optim.LBFGS(prior.parameters(), max_iter=100)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -prior().log_prob(z).mean()
        value.backward()
        return value

    optimizer.step(loss)
    assert codebook.vectors.grad is None
    frequency = torch.stack([torch.bincount(c, minlength=4) for c in codes[..., 0].T]) / 500
    torch.testing.assert_close(prior.logits.detach().softmax(-1)[:, 0], frequency, atol=2e-3, rtol=0)


# What is reported


def test_usage_and_perplexity_are_those_of_the_codes() -> None:
    vae, x = model(Codebook(6, D, depth=2)).eval(), batch(200)
    result = evaluate(vae, x, memory=20_000)
    codes = vae.encode(x).codes
    for level in range(2):
        share = torch.bincount(codes[..., level].flatten(), minlength=6).double() / (200 * P)
        used = share[share > 0]
        assert result.code_usage[level] == pytest.approx(len(used) / 6)
        assert result.code_perplexity[level] == pytest.approx((-used * used.log()).sum().exp().item())
    assert result.alphabet == 6
    assert any(name == "codes used" for name, *_ in result.rows())
    again = type(result).from_json(result.to_json())
    assert (again.code_usage, again.alphabet) == (result.code_usage, 6)


def test_usage_of_categories() -> None:
    net = MLP(FEATURES, [], (2, 3))
    vae = VAE(CategoricalPrior(2, 3), likelihoods.Bernoulli(MLP(6, [], FEATURES)), CategoricalCode(net, 2, 3))
    x = batch(100)
    result = evaluate(vae, x, samples=2)
    chosen = net(x).argmax(-1)
    assert result.code_usage == tuple(len(set(column.tolist())) / 3 for column in chosen.T)
    assert len(result.code_perplexity) == 2


# What is refused


def test_another_codebook_is_refused() -> None:
    vae = model(Codebook(4, D))
    other = VAE(CodePrior(Codebook(4, D), P), vae.likelihood, vae.posterior)
    with pytest.raises(
        IncompatibleError, match=r"QuantizedCode posterior .* CodePrior prior .* CodePrior of that codeb"
    ):
        other.terms(batch(), draw=draws.sample)
    grid = model(FiniteScalar((3, 3)))
    VAE(CodePrior(FiniteScalar((3, 3)), P), grid.likelihood, grid.posterior).terms(batch(), draw=draws.sample)
    with pytest.raises(IncompatibleError, match="codebook"):
        VAE(CodePrior(FiniteScalar((9, 1 + 2)), P), grid.likelihood, grid.posterior).terms(batch(), draw=draws.sample)


def test_a_point_mass_has_no_score() -> None:
    with pytest.raises(IncompatibleError, match=r"one code, found by a search; use StraightThrough\(\)"):
        Score()(model(Codebook(4, D)), batch(), ELBO(samples=2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Codebook(1), SettingError, "size=1; expected a whole number ≥ 2"),
        (lambda: Codebook(4, decay=1.0), SettingError, r"decay=1.0; expected a number in \[0, 1\), or None"),
        (lambda: FiniteScalar((2, 5)), SettingError, "levels=2; expected a whole number ≥ 3 for each channel"),
        (lambda: CodePrior(Codebook(4), 2, MLP(2, [], 2), learned=True), SettingError, "learned=True with a network"),
        (lambda: CausalTransformer(3, 4, width=5), SettingError, "width=5 with heads=4"),
        (lambda: PixelCNN((2, 2), 4)(torch.zeros(1, 5, 1).long()), ShapeError, r"codes of shape \(1, 5, 1\)"),
        (
            lambda: QuantizedCode(MLP(FEATURES, [], (P, 4)), Codebook(4, D))(batch()),
            ShapeError,
            r"QuantizedCode; expected its last dimensions to be \(positions, 3\)",
        ),
    ],
)
def test_messages(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]


def test_recipe_for_tables_and_images() -> None:
    assert recipes.vq_vae(BINARY, codes=4).model.prior.positions == 2 * 3
    table = type(BINARY)((7,), "real")
    assert recipes.vq_vae(table, positions=5).model.prior.positions == 5
    assert recipes.residual_vq_vae(table).model.prior.positions == 1
    with pytest.raises(SettingError, match=r"positions=5 for images of shape \(1, 8, 9\).*choose hidden instead"):
        recipes.fsq_vae(BINARY, positions=5)
