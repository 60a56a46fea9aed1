"""Families beyond the normal × objective × estimator: unbiased in all parameters, or refused by an error that helps."""

from __future__ import annotations

import functools
from unittest import mock

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    Beta,
    Cauchy,
    Chi2,
    Dirichlet,
    Distribution,
    Exponential,
    FisherSnedecor,
    Gamma,
    Gumbel,
    HalfNormal,
    Laplace,
    LogNormal,
    Normal,
    Pareto,
    StudentT,
)

from elbox import ELBO, IWAE, VAE, AnalyticKL, IncompatibleError, Path, Renyi, Reparameterized, Score
from elbox.distributions import Logistic, Rayleigh, Triangular, Uniform, VonMises, Weibull
from elbox.estimators import Estimator
from elbox.likelihoods import Gaussian
from elbox.nn import MLP, Angles
from elbox.posteriors import Factorized, FullStudentT
from elbox.priors import Factorized as Prior
from elbox.priors import StandardNormal
from tests.unbiased import exact
from tests.unbiased.exact import Gradient, Nodes, gradient
from tests.unbiased.models import FEATURES, batch, encoder, shaken
from tests.unbiased.sampled import agree

Family = type[Distribution]
REAL, POSITIVE = (Normal, Laplace, Logistic, Cauchy, Gumbel, StudentT), (Exponential, Gamma, Chi2, LogNormal, Weibull)
PAIRS: list[tuple[Family, Family]] = [
    *((f, f) for f in (*REAL, *POSITIVE, FisherSnedecor, HalfNormal, Rayleigh, Beta, Dirichlet, VonMises)),
    (Normal, Laplace),
    (Logistic, Normal),
    (Cauchy, StudentT),
    (Uniform, Normal),
    (Triangular, Normal),
    (Uniform, Logistic),
    (Triangular, Laplace),
    (Gamma, LogNormal),
    (LogNormal, Gamma),
    (Weibull, Gamma),
    (Chi2, Gamma),
    (Pareto, LogNormal),
]
MOVING = (Uniform, Triangular, Pareto)
NO_CLOSED_FORM = {(Logistic, Logistic), (StudentT, StudentT), (Cauchy, StudentT), (FisherSnedecor, FisherSnedecor)} | {
    (Uniform, Logistic),
    (Triangular, Laplace),
}
OBJECTIVES = {"ELBO": (ELBO(samples=2), exact.elbo()), "IWAE": (IWAE(2), exact.renyi(0.0, 2))}
ESTIMATORS: dict[str, Estimator] = {e.__name__: e() for e in (Reparameterized, AnalyticKL, Path, Score)}


def model(q: Family, p: Family, latent: int = 1) -> VAE:
    """Smooth, in double precision, with everything learned; what it makes of z is bounded, as tails may be heavy."""
    torch.manual_seed(1)
    size = 2 if q is Dirichlet else latent
    net = MLP(2 * size if q is VonMises else size, [3], FEATURES, nn.Tanh)
    likelihood = Gaussian(Angles(net) if q is VonMises else net, offset=0.2, scale=1.3)
    posterior = Factorized(encoder(*Factorized.output_shape(size, q)), size, q)
    return VAE(shaken(Prior(size, p, learned=True), 0.3), shaken(likelihood, 0.5), shaken(posterior))


# ── exact gradients ──────────────────────────────────────────────────────────────────────────────────────────────────


def points(q: Family, n: int) -> tuple[Tensor, Tensor]:
    """Fixed nodes [n] over a support, or over the noise behind a support that moves, and the volume around each."""
    if q in (Uniform, Triangular):
        x, weight = torch.linspace(-1, 1, n + 1).double(), 2 / n
        return (x[1:] + x[:-1]) / 2, torch.full((n,), weight).double()  # midpoints: a kink in the middle is no matter
    if q is VonMises:
        angle = torch.arange(n).double() / n * 2 * torch.pi
        return angle - torch.pi, torch.full((n,), 2 * torch.pi / n).double()
    t = torch.linspace(-34, 34, n, dtype=torch.float64)
    step = (t[1] - t[0]).item()
    if q in (Beta, Dirichlet):
        z = torch.sigmoid(t)
        return z, step * z * torch.sigmoid(-t)
    if q in REAL:
        return (t / 3).sinh() / 2, step * (t / 3).cosh() / 6
    t = t / 2 - (12 if q is Pareto else 7)
    return t.exp(), step / 2 * t.exp()


def latent_points(vae: VAE, x: Tensor, q: Family, n: int) -> tuple[Tensor, Tensor]:
    """z [n, B, D] and the volume around each [n, B]; differentiable where the support moves."""
    t, volume = (v[:, None].expand(-1, len(x)) for v in points(q, n))
    if q in (Uniform, Triangular):
        base = vae.posterior(x).base_dist
        return (base.loc[:, 0] + base.scale[:, 0] * t)[..., None], volume * base.scale[:, 0]
    if q is Pareto:
        base = vae.posterior(x).base_dist
        z = base.scale[:, 0] * torch.exp(t / base.alpha[:, 0])
        return z[..., None], volume * z / base.alpha[:, 0]
    return (torch.stack([t, 1 - t], -1) if q is Dirichlet else t[..., None]), volume


def exact_nodes(vae: VAE, x: Tensor, q: Family, n: int) -> list[Nodes]:
    z, volume = latent_points(vae, x, q, n)
    log_q = vae.posterior(x).log_prob(z)
    log_px, log_p = vae.likelihood(z).log_prob(x), vae.prior().log_prob(z)
    weight = log_q.exp() * volume
    assert (weight.sum(0) - 1).abs().max() < 1e-5, "the grid is too coarse or too small"
    keep = weight > 1e-12
    return [Nodes(*(t[keep[:, b], b] for t in (weight, log_px, log_p, log_q))) for b in range(len(x))]


@functools.cache
def exact_gradient(objective: str, q: Family, p: Family) -> Gradient:
    vae, x = model(q, p), batch()
    rough = {Laplace, Uniform, Triangular} & {q, p}  # kinks and ends: more nodes
    n = (4001 if objective == "ELBO" else 1201) if rough else 601
    return gradient(vae, exact.mean(OBJECTIVES[objective][1], exact_nodes(vae, x, q, n)))


# ── every pair ───────────────────────────────────────────────────────────────────────────────────────────────────────


def legal(objective: str, estimator: str, q: Family, p: Family) -> bool:
    """What the documentation says."""
    if estimator == "AnalyticKL":
        return objective == "ELBO" and (q, p) not in NO_CLOSED_FORM
    return estimator == "Reparameterized" or q not in MOVING


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("q", "p"), PAIRS, ids=[f"{q.__name__}-{p.__name__}" for q, p in PAIRS])
def test_every_family(q: Family, p: Family, objective: str, estimator: str) -> None:
    vae, how, goal = model(q, p), ESTIMATORS[estimator], OBJECTIVES[objective][0]
    if not legal(objective, estimator, q, p):
        with pytest.raises(IncompatibleError, match="; use "):
            how(vae, batch(), goal)
        return
    agree(exact_gradient(objective, q, p), how, vae, goal, batch())


@pytest.mark.parametrize("estimator", ["Reparameterized", "Path", "Score"])
def test_three_topics(estimator: str) -> None:
    """A Dirichlet on the triangle, by quadrature in two dimensions."""
    torch.manual_seed(1)
    net, x = MLP(3, [3], FEATURES, nn.Tanh), batch()
    vae = VAE(
        shaken(Prior(3, Dirichlet, learned=True), 0.3),
        shaken(Gaussian(net, offset=0.2, scale=1.3), 0.5),
        shaken(Factorized(encoder(1, 3), 3, Dirichlet)),
    )
    t = torch.linspace(-34, 34, 171, dtype=torch.float64)
    a, b = torch.cartesian_prod(t, t).unbind(-1)
    first, rest = torch.sigmoid(a), torch.sigmoid(-a)
    z = torch.stack([first, rest * torch.sigmoid(b), rest * torch.sigmoid(-b)], -1)
    volume = (t[1] - t[0]) ** 2 * first * rest.square() * torch.sigmoid(b) * torch.sigmoid(-b)
    right = gradient(vae, exact.mean(exact.elbo(), exact.nodes(vae, x, exact.Grid(z, volume[:, None]))))
    agree(right, ESTIMATORS[estimator], vae, ELBO(samples=2), x)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("prior", [StandardNormal, lambda d: Prior(d, StudentT, learned=True)], ids=["normal", "t"])
def test_elliptical_posterior(prior: type[StandardNormal], estimator: str) -> None:
    """Two dimensions; with a normal prior its rate needs many degrees of freedom to be measured by samples."""
    torch.manual_seed(1)
    likelihood = Gaussian(MLP(2, [3], FEATURES, nn.Tanh), offset=0.2, scale=1.3)
    posterior = FullStudentT(encoder(4, 2), 2, df=12.0)
    vae, x = VAE(shaken(prior(2), 0.5), shaken(likelihood, 0.5), shaken(posterior)), batch()
    if estimator == "AnalyticKL" and not isinstance(vae.prior, StandardNormal):
        with pytest.raises(IncompatibleError, match="; use "):
            ESTIMATORS[estimator](vae, x, ELBO())
        return
    t = torch.linspace(-5, 5, 141, dtype=torch.float64)
    z = torch.cartesian_prod(t.sinh(), t.sinh())
    volume = torch.cartesian_prod(t.cosh(), t.cosh()).prod(-1) * (t[1] - t[0]) ** 2
    right = gradient(vae, exact.mean(exact.elbo(), exact.nodes(vae, x, exact.Grid(z, volume[:, None]))))
    agree(right, ESTIMATORS[estimator], vae, ELBO(samples=2), x)


@pytest.mark.parametrize("q", [Gamma, Beta, VonMises, Logistic])
def test_dreg_of_other_bounds(q: Family) -> None:
    """The reparameterised score term is reparameterised once more along implicit derivatives too."""
    vae, x = model(q, q), batch()
    right = gradient(vae, exact.mean(exact.renyi(0.5, 2), exact_nodes(vae, x, q, 601)))
    agree(right, Path(), vae, Renyi(0.5, 2), x)


def test_student_posterior_with_a_normal_prior() -> None:
    """Three degrees of freedom: samples of the rate have no variance, its closed form has no need of them."""
    vae, x = model(StudentT, Normal), batch()
    right = gradient(vae, exact.mean(exact.elbo(), exact_nodes(vae, x, StudentT, 2001)))
    agree(right, AnalyticKL(), vae, ELBO(samples=2), x)


# ── supports that move: why they are refused ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("estimator", ["Path", "Score"])
@pytest.mark.parametrize("q", [Uniform, Pareto])
def test_moving_support_would_be_biased(q: Family, estimator: str) -> None:
    """Where the density does not fall to 0 at the edge, ∫ ∂_φ q is not 0: without the refusal the bias is found."""
    p = LogNormal if q is Pareto else Normal
    vae = model(q, p)
    with (
        mock.patch("elbox.draws._refuse_moving"),
        pytest.raises(AssertionError, match="standard errors away"),
    ):
        agree(exact_gradient("ELBO", q, p), ESTIMATORS[estimator], vae, ELBO(samples=2), batch())


def test_triangular_score_has_no_variance() -> None:
    """There the density falls to 0 and the score has mean 0, but E[(∂ log q)²] = ∫ dt/(1 − |t|) diverges."""
    largest = []
    for n in (10_000, 10_000_000):
        loc = torch.zeros(n, dtype=torch.float64, requires_grad=True)
        q = Triangular(loc, torch.ones_like(loc))
        (score,) = torch.autograd.grad(q.log_prob(q.sample()).sum(), loc)
        largest.append(score.square().mean().item())
    assert largest[1] > 1.3 * largest[0]


def test_decoder_that_reads_angles_as_numbers_would_be_biased() -> None:
    vae = model(VonMises, VonMises)
    vae.likelihood.net = shaken(MLP(1, [3], FEATURES, nn.Tanh), 0.8)
    right = gradient(vae, exact.mean(exact.elbo(), exact_nodes(vae, batch(), VonMises, 4001)))
    with pytest.raises(IncompatibleError, match=r"use elbox.nn.Angles\(net\)"):
        Reparameterized()(vae, batch(), ELBO())
    with mock.patch.object(VAE, "_check_angles"):
        agree(right, Score(), vae, ELBO(samples=2), batch())  # the score does not care
        with pytest.raises(AssertionError, match="standard errors away"):
            agree(right, Reparameterized(), vae, ELBO(samples=2), batch())
