"""Penalties on the aggregated posterior: hand-computed values, closed forms, enumeration and quadrature."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import zuko
from scipy import integrate, stats
from torch import Tensor, nn
from torch.distributions import Cauchy, Distribution, Independent, MultivariateNormal, Normal

from elbox import ELBO, VAE, AnalyticKL, Group, Reparameterized, Terms
from elbox.distributions import Delta, OneHots, VonMises, diagonal_normal
from elbox.errors import IncompatibleError, SettingError, ShapeError
from elbox.kernels import RBF, InverseMultiquadric, Kernel
from elbox.likelihoods import Gaussian
from elbox.nn import MLP
from elbox.objectives import (
    MMD,
    AdversarialTotalCorrelation,
    Distortion,
    InferredPrior,
    MutualInformation,
    Penalized,
    Penalty,
    SlicedWasserstein,
    TotalCorrelation,
)
from elbox.objectives.penalties.adversarial_total_correlation import permute_dimensions
from elbox.objectives.penalties.aggregated import log_aggregated, log_marginals
from elbox.posteriors import Deterministic, DiagonalNormal
from elbox.priors import LearnedNormal, NormalMixture, StandardNormal

N, D = 6, 2


def posteriors(n: int = N, d: int = D, spread: float = 1.0, seed: int = 0) -> Independent:
    """Posteriors of n examples that overlap."""
    g = torch.Generator().manual_seed(seed)
    mean = spread * torch.randn(n, d, generator=g, dtype=torch.float64)
    return diagonal_normal(mean, 0.4 + torch.rand(n, d, generator=g, dtype=torch.float64))


def standard(d: int = D) -> Independent:
    return diagonal_normal(torch.zeros(d, dtype=torch.float64), torch.ones(d, dtype=torch.float64))


def terms_of(
    q: torch.distributions.Distribution, z: Tensor, p: torch.distributions.Distribution | None = None
) -> Terms:
    prior = standard(z.shape[-1]) if p is None else p
    group = Group(z, prior.log_prob(z), q.log_prob(z), prior, q)
    return Terms(torch.zeros(z.shape[:2], dtype=z.dtype), {"z": group})


def drawn(q: torch.distributions.Distribution, samples: int = 1, seed: int = 1) -> Terms:
    torch.manual_seed(seed)
    return terms_of(q, q.sample((samples,)))


def chosen(q: Independent, z: Tensor, rows: tuple[int, ...]) -> Group:
    """The batch of these examples with their codes."""
    keep = list(rows)
    return terms_of(diagonal_normal(q.mean[keep], q.stddev[keep]), z[:, keep]).groups["z"]


def aggregated(q: Independent, z: Tensor) -> tuple[Tensor, Tensor]:
    """q(z) and q(z_d) of all examples, by definition."""
    each = Normal(q.mean, q.stddev).log_prob(z[..., None, :]).exp()
    return each.prod(-1).mean(-1), each.mean(-2)


# ── minibatch estimates of q(z) ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("batch", [2, 3, 5, 6])
def test_stratified_estimate_is_unbiased_in_density(batch: int) -> None:
    """E q̂(z_i) = q(z_i) over all batches that hold example i: by enumeration, joint and marginals, to rounding."""
    q = posteriors()
    z = q.sample((3,))
    joint, each = aggregated(q, z)
    for i in range(N):
        others = list(itertools.combinations([j for j in range(N) if j != i], batch - 1))
        found = [log_marginals("", chosen(q, z, (i, *rest)), N, stratified=True) for rest in others]
        torch.testing.assert_close(torch.stack([f[0][:, 0].exp() for f in found]).mean(0), joint[:, i])
        torch.testing.assert_close(torch.stack([f[1][:, 0].exp() for f in found]).mean(0), each[:, i])


def test_estimate_of_the_full_data_set_is_the_density_itself() -> None:
    q = posteriors()
    z = q.sample((4,))
    joint, each = log_marginals("", terms_of(q, z).groups["z"], N, stratified=True)
    torch.testing.assert_close(joint.exp(), aggregated(q, z)[0])
    torch.testing.assert_close(each.exp(), aggregated(q, z)[1])
    torch.testing.assert_close(joint, log_aggregated("", terms_of(q, z).groups["z"], N, stratified=True))


def test_weights_are_those_of_the_paper_averaged_over_who_comes_last() -> None:
    """Appendix C.2: own 1/N, M − 1 others 1/M each, the last one (N − M)/(NM), in a batch of M + 1."""
    q, n, m = posteriors(), 50, N - 1
    z = q.sample((1,))
    own = 1 / n
    dense = Normal(q.mean, q.stddev).log_prob(z[0][:, None]).sum(-1).exp()  # [N, N]
    found = log_aggregated("", terms_of(q, z).groups["z"], n, stratified=True)[0].exp()
    for i in range(N):
        others = [j for j in range(N) if j != i]
        by_last = [
            own * dense[i, i] + sum(dense[i, j] * ((n - m) / (n * m) if j == last else 1 / m) for j in others)
            for last in others
        ]
        torch.testing.assert_close(torch.stack(by_last).mean(), found[i])


def test_weighted_estimate_by_hand_and_its_lower_bound() -> None:
    """q̂(z_i) = Σ_j q(z_i|x_j) / NB; the mean of its logarithm is at most that of q(z)."""
    q = posteriors()
    z = q.sample((5000,))
    group = terms_of(q, z).groups["z"]
    found = log_aggregated("", chosen(q, z, (0, 2, 3)), N, stratified=False)
    by_hand = Normal(q.mean, q.stddev).log_prob(z[:, [0, 2, 3], None]).sum(-1).exp()[..., [0, 2, 3]].sum(-1) / (N * 3)
    torch.testing.assert_close(found.exp(), by_hand)
    exact = log_aggregated("", group, N, stratified=True).mean()
    batches = list(itertools.combinations(range(N), 3))
    bound = torch.stack([log_aggregated("", chosen(q, z, b), N, stratified=False).mean() for b in batches]).mean()
    assert bound < exact


def test_a_full_covariance_has_a_joint_density_only() -> None:
    mean = torch.randn(N, D, dtype=torch.float64)
    lower = torch.tensor([[0.7, 0.0], [0.5, 0.4]], dtype=torch.float64)
    q = MultivariateNormal(mean, scale_tril=lower.expand(N, D, D))
    z = q.sample((3,))
    found = log_aggregated("", terms_of(q, z).groups["z"], N, stratified=True)
    by_hand = [
        [stats.multivariate_normal(m, lower @ lower.T).pdf(z[k, i]) for m in mean] for k in range(3) for i in range(N)
    ]
    np.testing.assert_allclose(found.exp().flatten(), np.mean(by_hand, 1))
    with pytest.raises(IncompatibleError, match="TotalCorrelation needs a posterior that factorises"):
        TotalCorrelation(1.0, N)(terms_of(q, z))


# ── total correlation and mutual information ────────────────────────────────────────────────────────────────────────


def part(t: Terms, k: Tensor) -> Terms:
    """Some of the samples."""
    g = t.groups["z"]
    return Terms(t.log_px[k], {"z": replace(g, z=g.z[k], log_pz=g.log_pz[k], log_qz=g.log_qz[k])})


def on_a_grid(q: Independent) -> dict[str, float]:
    """KL(q(z) ‖ Π q(z_d)) and I(n; z) of a mixture in the plane, by quadrature."""
    line = torch.linspace(-9, 9, 721, dtype=torch.float64)
    cell = (line[1] - line[0]).item()
    each = Normal(q.mean, q.stddev).log_prob(line[:, None, None]).exp()  # [G, N, 2]
    joint = torch.einsum("an,bn->ab", each[..., 0], each[..., 1]) / len(q.mean)
    product = each[..., 0].mean(1)[:, None] * each[..., 1].mean(1)
    tc = (joint * (joint / product).log().nan_to_num(0, 0, 0)).sum() * cell**2
    entropy = -(joint * joint.log().nan_to_num(0, 0, 0)).sum() * cell**2
    return {"tc": tc.item(), "mi": (entropy - q.entropy().mean()).item()}


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_against_quadrature(spread: float) -> None:
    """With the batch as the data set, both are means over codes: within 4 standard errors."""
    q = posteriors(spread=spread)
    t = drawn(q, samples=20_000)
    right = on_a_grid(q)
    for penalty, exact in ((TotalCorrelation(1.0, N), right["tc"]), (MutualInformation(1.0, N), -right["mi"])):
        each = [penalty(part(t, k)) for k in torch.arange(20_000).split(1000)]
        found = torch.stack(each).mean(1)
        assert (found.mean() - exact).abs() < 4 * found.std() / math.sqrt(len(found))
        torch.testing.assert_close(found.mean(), penalty(t).mean())


def test_total_correlation_of_a_gaussian() -> None:
    """μ_n ~ N(0, Σ − s²I), q(z|x_n) = N(μ_n, s²I): q(z) = N(0, Σ) and TC = −½ log(1 − ρ²)."""
    rho, s, n = 0.8, 0.4, 2000
    generator = torch.Generator().manual_seed(0)
    covariance = torch.tensor([[1, rho], [rho, 1]], dtype=torch.float64)
    root = torch.linalg.cholesky(covariance - s**2 * torch.eye(2))
    mean = torch.randn(n, 2, generator=generator, dtype=torch.float64) @ root.T
    t = drawn(diagonal_normal(mean, torch.full_like(mean, s)))
    found = TotalCorrelation(1.0, n)(t)
    assert found.mean().item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=4 * found.std().item() / math.sqrt(n))


def test_one_dimension_has_no_total_correlation() -> None:
    for stratified in (True, False):
        t = drawn(posteriors(d=1), samples=3)
        torch.testing.assert_close(TotalCorrelation(1.0, 10, stratified=stratified)(t), torch.zeros(N).double())


def test_total_correlation_by_hand() -> None:
    """Two examples are the data set; densities by scipy. Weights count once in each, not once a dimension."""
    mean, scale = np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[1.0, 0.5], [0.7, 2.0]])
    z = np.array([[0.3, 0.4], [1.5, -2.0]])
    density = stats.norm.pdf(z[:, None], mean, scale)  # [code, posterior, dimension]
    expected = np.log(density.prod(-1).mean(1)) - np.log(density.mean(1)).sum(-1)
    q = diagonal_normal(torch.tensor(mean), torch.tensor(scale))
    t = terms_of(q, torch.tensor(z)[None])
    np.testing.assert_allclose(TotalCorrelation(1.0, 2)(t), expected)
    own = stats.norm.logpdf(z, mean, scale).sum(-1)
    np.testing.assert_allclose(MutualInformation(1.0, 2)(t), np.log(density.prod(-1).mean(1)) - own)
    weighted = np.log(density.prod(-1).sum(1) / 200) - np.log(density.sum(1) / 200).sum(-1)
    np.testing.assert_allclose(TotalCorrelation(1.0, 100, stratified=False)(t), weighted)


@pytest.mark.parametrize("n", [N, 100])
def test_information_is_between_nothing_and_the_log_of_the_number_of_examples(n: int) -> None:
    same = diagonal_normal(torch.zeros(N, D).double(), torch.ones(N, D).double())
    torch.testing.assert_close(MutualInformation(1.0, n)(drawn(same, 3)), torch.zeros(N).double())
    apart = diagonal_normal(100 * torch.arange(N * D).reshape(N, D).double(), torch.ones(N, D).double())
    torch.testing.assert_close(MutualInformation(1.0, n)(drawn(apart, 3)), torch.full((N,), -math.log(n)).double())


def test_rate_is_information_and_marginal_divergence() -> None:
    """E log q(z|x) − log p(z) = I + E log q(z) − log p(z), term by term."""
    t = drawn(posteriors(), samples=50)
    group = t.groups["z"]
    marginal = (log_aggregated("", group, N, stratified=True) - group.log_pz).mean(0)
    torch.testing.assert_close(t.rate, -MutualInformation(1.0, N)(t) + marginal)


@pytest.mark.parametrize("penalty", [TotalCorrelation(1.0, N), MutualInformation(1.0, N)], ids=["tc", "mi"])
def test_the_data_set_twice_over_has_the_same_aggregated_posterior(penalty: TotalCorrelation) -> None:
    t = drawn(posteriors(), samples=2)
    q, z = t.groups["z"].posterior, t.groups["z"].z
    twice = terms_of(diagonal_normal(q.mean.repeat(2, 1), q.stddev.repeat(2, 1)), z.repeat(1, 2, 1))
    torch.testing.assert_close(type(penalty)(1.0, 2 * N)(twice), penalty(t).repeat(2))


# ── discriminator ───────────────────────────────────────────────────────────────────────────────────────────────────


class Optimal(nn.Module):
    """a · (log q(z) − Σ_d log q(z_d)) of N(0, [[1, ρ], [ρ, 1]]): the best discriminator, at a = 1."""

    def __init__(self, rho: float, a: float = 1.0) -> None:
        super().__init__()
        self.joint = MultivariateNormal(torch.zeros(2).double(), torch.tensor([[1, rho], [rho, 1]]).double())
        self.a = nn.Parameter(torch.tensor(a).double())

    def forward(self, z: Tensor) -> Tensor:
        return self.a * (self.joint.log_prob(z) - Normal(0, 1).log_prob(z).sum(-1))


def correlated(n: int, rho: float) -> Terms:
    torch.manual_seed(2)
    z = Optimal(rho).joint.sample((n,))
    return terms_of(diagonal_normal(z, torch.ones_like(z)), z[None])


def test_the_best_discriminator_knows_the_total_correlation() -> None:
    rho, n = 0.7, 20_000
    found = AdversarialTotalCorrelation(Optimal(rho))(correlated(n, rho))
    exact = -0.5 * math.log(1 - rho**2)
    assert (found.mean() - exact).abs() < 4 * found.std() / math.sqrt(n)


def test_discriminator_is_best_at_the_density_ratio() -> None:
    """Its loss has its minimum there: slope 0, and higher on both sides."""
    t, losses = correlated(20_000, 0.7), {}
    for a in (0.7, 1.0, 1.3):
        penalty = AdversarialTotalCorrelation(Optimal(0.7, a))
        torch.manual_seed(0)
        loss = penalty.own_loss(t)
        losses[a] = loss.item()
        (slope,) = torch.autograd.grad(loss, penalty.discriminator.a)
        assert (slope.abs() < 0.01) == (a == 1.0)
    assert losses[1.0] < min(losses[0.7], losses[1.3])


def test_loss_of_the_discriminator_by_hand() -> None:
    """One layer w·z: −½ log σ(w·z) − ½ log(1 − σ(w·z̃)), codes as they are against codes that are permuted."""
    net = MLP(2, [], ()).double()
    t = drawn(posteriors())
    z = t.groups["z"].z
    torch.manual_seed(4)
    loss = AdversarialTotalCorrelation(net).own_loss(t)
    torch.manual_seed(4)
    permuted = permute_dimensions(z)
    expected = -0.5 * (net(z).sigmoid().log() + (1 - net(permuted).sigmoid()).log()).mean()
    torch.testing.assert_close(loss, expected)


def test_permuted_dimensions_keep_their_values_and_lose_their_company() -> None:
    torch.manual_seed(0)
    z = torch.randn(3, 4000, 1).double().expand(3, 4000, 2)
    permuted = permute_dimensions(z)
    torch.testing.assert_close(permuted.sort(1).values, z.sort(1).values)
    assert torch.corrcoef(permuted[0].T)[0, 1].abs() < 4 / math.sqrt(4000)
    assert not torch.equal(permuted[0], permuted[1])


@pytest.mark.parametrize("estimator", [Reparameterized(), AnalyticKL()])
def test_no_player_moves_the_other(estimator: AnalyticKL) -> None:
    """The encoder's gradient is that of the ELBO − γ·TC alone, the discriminator's that of its own loss alone."""
    torch.manual_seed(0)
    model = VAE(StandardNormal(2), Gaussian(MLP(2, [4], 3)), DiagonalNormal(MLP(3, [4], (2, 2)), 2))
    penalty, x = AdversarialTotalCorrelation(MLP(2, [4], (), nn.LeakyReLU), weight=3.0), torch.randn(8, 3)

    def gradients(loss: Callable[[Terms], Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        torch.manual_seed(1)
        terms = estimator(model, x, ELBO()).terms
        parameters = [*model.parameters(), *penalty.parameters()]
        found = torch.autograd.grad(loss(terms), parameters, allow_unused=True, materialize_grads=True)
        cut = len(list(model.parameters()))
        return list(found[:cut]), list(found[cut:])

    both = gradients(lambda t: -Penalized(ELBO(), [penalty])(t).mean())
    vae = gradients(lambda t: (-ELBO()(t) + 3.0 * penalty(t)).mean())
    own = gradients(penalty.own_loss)
    assert not any(g.any() for g in vae[1])
    assert not any(g.any() for g in own[0])
    assert any(g.any() for g in own[1])
    torch.testing.assert_close(both[0], vae[0])
    # the penalty draws nothing, so the permutation is the same
    torch.testing.assert_close(both[1], own[1])


# ── covariance ──────────────────────────────────────────────────────────────────────────────────────────────────────


def penalised(c: np.ndarray, ratio: float) -> float:
    off = c - np.diag(np.diag(c))
    return (off**2).sum() + ratio * ((np.diag(c) - 1) ** 2).sum()


@pytest.mark.parametrize("d", [1, 2, 5])
def test_covariance_of_the_means_is_numpys(d: int) -> None:
    q = posteriors(n=11, d=d)
    c = np.atleast_2d(np.cov(q.mean.numpy(), rowvar=False))
    assert InferredPrior(1.0, ratio=3.0)(drawn(q)).item() == pytest.approx(penalised(c, 3.0))
    within = np.diag(q.variance.mean(0).numpy())
    assert InferredPrior(1.0, ratio=3.0, of_codes=True)(drawn(q)).item() == pytest.approx(penalised(c + within, 3.0))


def test_covariance_of_the_codes_is_that_of_many_draws() -> None:
    """For a full covariance too; zero penalty to the statistical error of 10⁶ draws."""
    mean = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lower = torch.tensor([[0.7, 0.0], [0.5, 0.4]], dtype=torch.float64)
    q = MultivariateNormal(mean, scale_tril=lower.expand(4, 2, 2))
    z = q.sample((250_000,)).reshape(-1, 2).numpy()
    within = np.cov(z, rowvar=False) - np.cov(mean.numpy(), rowvar=False, bias=True)
    expected = penalised(np.cov(mean.numpy(), rowvar=False) + within, 1.0)
    assert InferredPrior(1.0, ratio=1.0, of_codes=True)(drawn(q)).item() == pytest.approx(expected, rel=0.02)


def test_covariance_of_one_hot_codes_is_that_of_all_codes() -> None:
    """Categories of one variable exclude each other: −π_i π_j between them, 0 between variables."""
    q = OneHots(torch.randn(7, 6, dtype=torch.float64), categories=3)
    codes, mean = q.codes(), q.mean.numpy()
    weight = q.log_prob(codes[:, None]).exp()  # [N, 7]
    within = torch.einsum("nb,ni,nj->ij", weight, codes, codes) / 7 - torch.einsum("bi,bj->ij", q.mean, q.mean) / 7
    assert abs(within[0, 1]) > 0.01
    assert abs(within[0, 3]) < 1e-12
    expected = penalised(np.cov(mean, rowvar=False) + within.numpy(), 3.0)
    assert InferredPrior(1.0, ratio=3.0, of_codes=True)(drawn(q)).item() == pytest.approx(expected)


@pytest.mark.parametrize("family", [Cauchy, VonMises])
@pytest.mark.parametrize("of_codes", [True, False])
def test_no_covariance_where_there_is_no_mean(family: type[Distribution], *, of_codes: bool) -> None:
    """A Cauchy distribution has none, and an angle a direction: as numbers both would be NaN or nonsense."""
    q = Independent(family(torch.randn(4, 2), torch.ones(4, 2)), 1)
    with pytest.raises(IncompatibleError, match=rf"the mean and covariance of .*, and {family.__name__} has none or"):
        InferredPrior(of_codes=of_codes)(terms_of(q, q.sample((1,)), q))


def test_a_deterministic_code_has_a_covariance_too() -> None:
    z = torch.randn(9, 3, dtype=torch.float64)
    t = terms_of(Delta(z), z[None])
    expected = pytest.approx(penalised(np.cov(z.numpy(), rowvar=False), 10.0))
    assert InferredPrior()(t).item() == expected
    assert InferredPrior(of_codes=True)(t).item() == expected


# ── maximum mean discrepancy ────────────────────────────────────────────────────────────────────────────────────────


def rbf_between(m: Tensor, s: Tensor, n: Tensor, t: Tensor, width: float) -> Tensor:
    """E exp(−‖x − y‖²/2γ²) for x ~ N(m, diag s²), y ~ N(n, diag t²): Π_d γ/√v_d exp(−(m_d − n_d)²/2v_d)."""
    v = width**2 + s**2 + t**2
    return (width / v.sqrt() * torch.exp(-((m - n) ** 2) / (2 * v))).prod(-1)


def exact_mmd(m: Tensor, s: Tensor, width: float) -> Tensor:
    zero, one = torch.zeros_like(m), torch.ones_like(s)
    return (
        rbf_between(m, s, m, s, width)
        + rbf_between(zero, one, zero, one, width)
        - 2 * rbf_between(m, s, zero, one, width)
    )


def many(penalty: Penalty, m: Tensor, s: Tensor, batch: int, repeats: int) -> Tensor:
    """The penalty of `repeats` batches of codes from N(m, diag s²)."""
    torch.manual_seed(0)
    z = m + s * torch.randn(repeats, batch, len(s), dtype=torch.float64)
    q = diagonal_normal(z[0].detach(), torch.ones_like(z[0]))
    return torch.stack([penalty(terms_of(q, z[k : k + 1])) for k in range(repeats)])


@pytest.mark.parametrize("batch", [2, 5, 30])
@pytest.mark.parametrize("off", [0.0, 0.7])
def test_mmd_is_unbiased(off: float, batch: int) -> None:
    """Against the closed form between two normals with an RBF kernel; below 0 at times where they agree."""
    m, s = torch.tensor([off, -off]).double(), torch.tensor([1.0, 1.0 - 0.6 * off]).double()
    found = many(MMD(1.0, RBF(1.3)), m, s, batch, 1500)
    assert (found.mean() - exact_mmd(m, s, 1.3)).abs() < 4 * found.std() / math.sqrt(1500)
    assert off or (found < 0).any()


def test_mmd_with_the_inverse_multiquadric_kernel() -> None:
    """In one dimension x − y is normal, and the expectations are integrals."""
    kernel, m, s = InverseMultiquadric(scales=(0.5, 2.0)), 0.8, 0.6

    def expected(mean: float, variance: float) -> float:
        d = np.linspace(-12, 12, 200_001)
        k = sum(2 * c / (2 * c + d**2) for c in (0.5, 2.0))  # C = 2 D σ² s
        return float(integrate.simpson(k * stats.norm.pdf(d, mean, math.sqrt(variance)), x=d))

    exact = expected(0, 2 * s**2) + expected(0, 2) - 2 * expected(m, 1 + s**2)
    found = many(MMD(1.0, kernel), torch.tensor([m]).double(), torch.tensor([s]).double(), 10, 2000)
    assert (found.mean() - exact).abs() < 4 * found.std() / math.sqrt(2000)


def test_mmd_by_hand() -> None:
    """Two codes and a prior that is a point: (k(z₁, z₂) + k(y, y)) − ½ Σ k(z_i, y)."""
    z = torch.tensor([[[0.0], [2.0]]]).double()
    p = Delta(torch.tensor([1.0]).double())
    kernel = RBF(1.0)
    group = Group(z, torch.zeros(1, 2).double(), torch.zeros(1, 2).double(), p, Delta(z[0]))
    found = MMD(1.0, kernel)(Terms(torch.zeros(1, 2).double(), {"z": group}))
    assert found.item() == pytest.approx(math.exp(-2) + 1 - 2 * math.exp(-0.5))


def test_gradient_of_mmd_is_unbiased() -> None:
    """∂/∂m of its mean is that of the closed form."""
    m, s = torch.tensor([0.7, -0.2]).double().requires_grad_(), torch.tensor([0.8, 1.1]).double()
    (right,) = torch.autograd.grad(exact_mmd(m, s, 1.0), m)
    own = m.detach().expand(800, 1, 2).clone().requires_grad_()  # a mean for each repeat
    (each,) = torch.autograd.grad(many(MMD(1.0, RBF(1.0)), own, s, 10, 800).sum(), own)
    each = each[:, 0]
    assert ((each.mean(0) - right).abs() < 4 * each.std(0) / math.sqrt(800)).all()


@pytest.mark.parametrize("kernel", [RBF(), RBF(0.5), InverseMultiquadric(), InverseMultiquadric(2.0, (1.0,))])
def test_kernels_are_positive_definite(kernel: Kernel) -> None:
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = kernel(x, x)
    torch.testing.assert_close(k, k.T)
    assert torch.linalg.eigvalsh(k).min() > 0


def test_a_learned_prior_is_moved_by_the_distance() -> None:
    z = 2 + torch.randn(1, 500, 2)
    prior = LearnedNormal(2)
    for penalty in (MMD(), SlicedWasserstein()):
        prior.zero_grad()
        penalty(terms_of(diagonal_normal(z[0], torch.ones_like(z[0])), z, prior())).backward()
        assert (prior.mean.grad < 0).all()  # down the gradient the prior moves to the codes


@pytest.mark.parametrize("penalty", [MMD(), SlicedWasserstein()], ids=["mmd", "swd"])
def test_any_prior_that_can_be_sampled(penalty: MMD) -> None:
    """Mixtures, flows, and a prior that differs from example to example."""
    torch.manual_seed(0)
    z = torch.randn(3, 7, 2)
    q = diagonal_normal(z[0], torch.ones_like(z[0]))
    each = diagonal_normal(torch.randn(7, 2), torch.ones(2))
    for p in (NormalMixture(2)(), zuko.flows.MAF(2, 0, transforms=1, hidden_features=(4,))(), each):
        assert penalty(terms_of(q, z, p)).isfinite()


# ── sliced Wasserstein ──────────────────────────────────────────────────────────────────────────────────────────────


def test_wasserstein_distance_of_two_normals() -> None:
    """In one dimension W₂² = (m − n)² + (s − t)²; the bias of 20 000 points is below 0.01."""
    for m, s in ((0.0, 1.0), (1.5, 1.0), (0.0, 0.3), (-2.0, 2.5)):
        found = many(SlicedWasserstein(1.0, 3), torch.tensor([m]).double(), torch.tensor([s]).double(), 20_000, 5)
        error = found.std() / math.sqrt(5)
        assert (found.mean() - (m**2 + (s - 1) ** 2)).abs() < 4 * error + 0.01


@pytest.mark.parametrize("d", [2, 10])
def test_sliced_distance_of_a_shift(d: int) -> None:
    """N(μ, I) to N(0, I): every slice is a shift by θᵀμ, and E_θ (θᵀμ)² = ‖μ‖²/D."""
    m = torch.linspace(-1, 2, d, dtype=torch.float64)
    found = many(SlicedWasserstein(1.0, 50), m, torch.ones(d).double(), 2000, 12)
    error = found.std() / math.sqrt(12)
    assert (found.mean() - m.square().mean()).abs() < 4 * error + 0.01


def test_sorted_samples_are_the_best_pairs() -> None:
    """Against all pairings of 5 points in one dimension, where θ = ±1."""
    z, y = torch.randn(5, 1).double(), torch.randn(5, 1).double()
    best = min((z[list(order)] - y).square().mean().item() for order in itertools.permutations(range(5)))
    prior = Delta(y)  # batch [5]: each example's own draw
    group = Group(z[None], torch.zeros(1, 5).double(), torch.zeros(1, 5).double(), prior, Delta(z))
    found = SlicedWasserstein(1.0, 4)(Terms(torch.zeros(1, 5).double(), {"z": group}))
    assert found.item() == pytest.approx(best)


def test_samples_equal_to_the_prior_have_no_distance() -> None:
    y = torch.randn(6, 3).double()
    group = Group(y[None].flip(1), torch.zeros(1, 6).double(), torch.zeros(1, 6).double(), Delta(y), Delta(y.flip(0)))
    assert SlicedWasserstein()(Terms(torch.zeros(1, 6).double(), {"z": group})).item() == pytest.approx(0, abs=1e-12)


# ── groups, samples, mistakes ───────────────────────────────────────────────────────────────────────────────────────

PENALTIES = [TotalCorrelation(1.0, 20), TotalCorrelation(1.0, 20, stratified=False), MutualInformation(1.0, 20), MMD(),
             MMD(1.0, RBF()), SlicedWasserstein(1.0, 7), InferredPrior(), InferredPrior(of_codes=True)]  # fmt: skip
IDS = ["tc", "tc weighted", "mi", "mmd", "mmd rbf", "swd", "dip", "dip of codes"]


@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_several_groups_add_up(penalty: Penalty) -> None:
    a, b = drawn(posteriors(), 3, seed=1).groups["z"], drawn(posteriors(d=4, seed=5), 3, seed=2).groups["z"]
    log_px = torch.zeros(3, N).double()
    torch.manual_seed(0)
    both = penalty(Terms(log_px, {"a": a, "b": b}))
    torch.manual_seed(0)
    torch.testing.assert_close(both, penalty(Terms(log_px, {"a": a})) + penalty(Terms(log_px, {"b": b})))


@pytest.mark.parametrize(
    "penalty", [p for p in PENALTIES if not isinstance(p, SlicedWasserstein)], ids=IDS[:5] + IDS[6:]
)
def test_several_samples_are_averaged(penalty: Penalty) -> None:
    q, p = posteriors(), Delta(torch.randn(N, D).double())  # a prior that always draws the same
    z = q.sample((4,))
    alone = [penalty(terms_of(q, z[k : k + 1], p)) for k in range(4)]
    torch.testing.assert_close(penalty(terms_of(q, z, p)), torch.stack(alone).mean(0))


def test_groups_are_one_code_to_the_discriminator() -> None:
    a, b = drawn(posteriors(), 3).groups["z"], drawn(posteriors(d=4), 3).groups["z"]
    net = MLP(6, [4], ()).double()
    t = Terms(torch.zeros(3, N).double(), {"a": a, "b": b})
    torch.testing.assert_close(AdversarialTotalCorrelation(net)(t), net(torch.cat([a.z, b.z], -1)).mean(0))
    assert AdversarialTotalCorrelation(net).own_loss(t).shape == ()


@pytest.mark.parametrize("penalty", PENALTIES, ids=IDS)
def test_penalty_is_weighed_and_subtracted(penalty: Penalty) -> None:
    t = drawn(posteriors(), 3)
    penalty = type(penalty)(**penalty.arguments | {"weight": 2.5})
    torch.manual_seed(0)
    value = penalty(t)
    torch.manual_seed(0)
    torch.testing.assert_close(Penalized(ELBO(), [penalty])(t), ELBO()(t) - 2.5 * value)


def deterministic() -> VAE:
    torch.manual_seed(0)
    return VAE(StandardNormal(2), Gaussian(MLP(2, [4], 3)), Deterministic(MLP(3, [4], 2), 2))


@pytest.mark.parametrize("penalty", [MMD(), SlicedWasserstein(), InferredPrior()], ids=["mmd", "swd", "dip"])
def test_a_deterministic_code_is_pulled_to_its_prior(penalty: MMD) -> None:
    model, x = deterministic(), torch.randn(16, 3)
    loss = Reparameterized()(model, x, Penalized(Distortion(), [penalty])).loss
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert model.sample(5).shape == (5, 3)


@pytest.mark.parametrize("penalty", [TotalCorrelation(1.0, 20), MutualInformation(1.0, 20)], ids=["tc", "mi"])
def test_a_density_is_needed(penalty: TotalCorrelation) -> None:
    expected = rf"{type(penalty).__name__} needs the density q\(z\|x\), .* use MMD\(\) or SlicedWasserstein\(\)"
    with pytest.raises(IncompatibleError, match=expected):
        Reparameterized()(deterministic(), torch.randn(4, 3), Penalized(Distortion(), [penalty]))


@pytest.mark.parametrize("penalty", [*PENALTIES, AdversarialTotalCorrelation(MLP(2, [], ()).double())])
def test_one_example_is_no_distribution(penalty: Penalty) -> None:
    with pytest.raises(ShapeError, match=r"got a batch of 1 example for \w+; expected at least 2"):
        penalty(drawn(posteriors(n=1)))


@pytest.mark.parametrize("penalty", [MMD(), SlicedWasserstein()], ids=["mmd", "swd"])
def test_a_prior_is_needed(penalty: MMD) -> None:
    z = torch.randn(1, 4, 2)
    group = Group(z, torch.zeros(1, 4), torch.zeros(1, 4), None, Delta(z[0]))
    with pytest.raises(IncompatibleError, match=r"compares codes with draws of the prior.* use a StandardNormal prior"):
        penalty(Terms(torch.zeros(1, 4), {"z": group}))


@pytest.mark.parametrize("penalty", [TotalCorrelation, MutualInformation])
def test_the_number_of_examples_must_be_known(penalty: type[TotalCorrelation]) -> None:
    with pytest.raises(SettingError, match=rf"got examples=0 for {penalty.__name__}; expected the number N ≥ 2"):
        penalty(1.0, 0)
    with pytest.raises(SettingError, match="got a batch of 6 examples with examples=5"):
        penalty(1.0, 5)(drawn(posteriors()))


def test_a_flow_knows_no_covariance() -> None:
    q = zuko.flows.MAF(2, 3, transforms=1, hidden_features=(4,))(torch.randn(5, 3))
    z = q.sample((1,))
    with pytest.raises(IncompatibleError, match="InferredPrior needs the mean and covariance of"):
        InferredPrior()(terms_of(q, z, StandardNormal(2)()))


def test_a_flow_has_an_aggregated_density() -> None:
    torch.manual_seed(0)
    flow, x = zuko.flows.MAF(2, 3, transforms=1, hidden_features=(4,)), torch.randn(5, 3)
    q = flow(x)
    with torch.no_grad():
        z = q.sample((3,))
        found = log_aggregated("", terms_of(q, z, StandardNormal(2)()).groups["z"], 5, stratified=True)
        each = torch.stack([flow(row).log_prob(z) for row in x])
    torch.testing.assert_close(found, each.logsumexp(0) - math.log(5))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: RBF(0.0), "got width=0.0; expected a positive number"),
        (lambda: InverseMultiquadric(-1.0), "got sigma=-1.0"),
        (lambda: InverseMultiquadric(1.0, (1.0, 0.0)), "scales=(1.0, 0.0); expected positive numbers"),
        (lambda: SlicedWasserstein(1.0, 0), "got projections=0; expected a whole number ≥ 1"),
    ],
)
def test_impossible_settings(make: Callable[[], object], expected: str) -> None:
    with pytest.raises(SettingError) as error:
        make()
    assert expected in str(error.value)
