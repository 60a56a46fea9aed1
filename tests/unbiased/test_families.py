"""Families beyond the normal × objective × estimator: unbiased in all parameters, or refused by an error that helps."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any
from unittest import mock

import numpy as np
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
CORE = (Logistic, StudentT, Gamma, Beta, VonMises)
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
    return VAE(shaken(Prior(size, p, learned=True), 0.7), shaken(likelihood, 0.5), shaken(posterior))


# ── exact gradients ──────────────────────────────────────────────────────────────────────────────────────────────────


def points(q: Family, n: int = 601) -> tuple[Tensor, Tensor]:
    """Nodes [n] of the trapezoid rule over a support, or over the noise behind Pareto's, and the volume around each."""
    if q is VonMises:
        angle = torch.arange(n).double() / n * 2 * torch.pi
        return angle - torch.pi, torch.full((n,), 2 * torch.pi / n).double()
    t = torch.linspace(-34, 34, n, dtype=torch.float64)
    step = (t[1] - t[0]).item()
    if q in (Beta, Dirichlet):
        z = torch.sigmoid(t)
        return z, step * z * torch.sigmoid(-t)
    if q in REAL:
        width = 2.0 if q in (Cauchy, StudentT) else 0.125  # power laws reach far
        return 2 * (width * t).sinh(), 2 * step * width * (width * t).cosh()
    width, middle = (0.5, -12) if q is Pareto else (1.1, -22)
    t = width * t + middle
    return t.exp(), step * width * t.exp()


def panels(edges: list[list[float]], n: int = 40) -> tuple[Tensor, Tensor]:
    """Gauss–Legendre nodes between edges at which densities have kinks or end, [n·panels, B] for B lists of edges."""
    x, weight = (torch.as_tensor(a)[:, None, None] / 2 for a in np.polynomial.legendre.leggauss(n))
    e = torch.tensor(edges, dtype=torch.float64).sort(-1).values.T  # [panels + 1, B]
    width = e.diff(dim=0)
    return ((x + 0.5) * width + e[:-1]).flatten(0, 1), (weight * width).flatten(0, 1)


def latent_points(vae: VAE, x: Tensor, q: Family, p: Family) -> tuple[Tensor, Tensor]:
    """z [n, B, D] and the volume around each [n, B]; differentiable where the support moves."""
    base = getattr(vae.posterior(x), "base_dist", None)
    kink = [vae.prior().base_dist.loc.item()] if p is Laplace else []
    if q in (Uniform, Triangular):
        inner = [[((k - m) / s).item() for k in kink] for m, s in zip(base.loc, base.scale, strict=True)]
        t, volume = panels([[-1, 0, 1, *(min(max(k, -1), 1) for k in one)] for one in inner])
        return (base.loc[:, 0] + base.scale[:, 0] * t)[..., None], volume * base.scale[:, 0]
    if Laplace in (q, p):
        t, volume = panels([[-80, -20, -5, *kink, m.item(), 5, 20, 80] for m in base.loc])
        return t[..., None], volume
    t, volume = (v[:, None].expand(-1, len(x)) for v in points(q, 1601 if q in (Cauchy, StudentT) else 601))
    if q is Pareto:
        z = base.scale[:, 0] * torch.exp(t / base.alpha[:, 0])
        return z[..., None], volume * z / base.alpha[:, 0]
    return (torch.stack([t, 1 - t], -1) if q is Dirichlet else t[..., None]), volume


def exact_nodes(vae: VAE, x: Tensor, q: Family, p: Family) -> list[Nodes]:
    z, volume = latent_points(vae, x, q, p)
    log_q = vae.posterior(x).log_prob(z)
    log_px, log_p = vae.likelihood(z).log_prob(x), vae.prior().log_prob(z)
    weight = log_q.exp() * volume
    assert (weight.sum(0) - 1).abs().max() < 1e-5, "the grid is too coarse or too small"
    keep = weight > 1e-100
    return [Nodes(*(t[keep[:, b], b] for t in (weight, log_px, log_p, log_q))) for b in range(len(x))]


@functools.cache
def exact_gradient(objective: str, q: Family, p: Family) -> Gradient:
    vae, x = model(q, p), batch()
    return gradient(vae, exact.mean(OBJECTIVES[objective][1], exact_nodes(vae, x, q, p)))


# ── every pair ───────────────────────────────────────────────────────────────────────────────────────────────────────


def legal(objective: str, estimator: str, q: Family, p: Family) -> bool:
    """What the documentation says."""
    if estimator == "AnalyticKL":
        return objective == "ELBO" and (q, p) not in NO_CLOSED_FORM
    return estimator == "Reparameterized" or q not in MOVING


def every_pair() -> list[Any]:
    """One family for each construction and support quickly, the others where time does not matter."""
    found = []
    for (q, p), objective, estimator in itertools.product(PAIRS, OBJECTIVES, ESTIMATORS):
        fast = (q is p and q in CORE) or q in MOVING or (objective, estimator) == ("ELBO", "Reparameterized")
        name = f"{q.__name__}-{p.__name__}-{objective}-{estimator}"
        found.append(pytest.param(q, p, objective, estimator, id=name, marks=() if fast else pytest.mark.slow))
    return found


@pytest.mark.parametrize(("q", "p", "objective", "estimator"), every_pair())
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
    right = gradient(vae, exact.mean(exact.renyi(0.5, 2), exact_nodes(vae, x, q, q)))
    agree(right, Path(), vae, Renyi(0.5, 2), x)


def test_student_posterior_with_a_normal_prior() -> None:
    """Three degrees of freedom: samples of the rate have no variance, its closed form has no need of them."""
    vae, x = model(StudentT, Normal), batch()
    right = gradient(vae, exact.mean(exact.elbo(), exact_nodes(vae, x, StudentT, Normal)))
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
    """There the density falls to 0 and the score has mean 0, but E[(∂_μ log q)²] up to δ from the edge is 2 log 1/δ."""
    for edge in (1e-3, 1e-6, 1e-9):
        t = torch.linspace(math.log(edge), 0, 10_001, dtype=torch.float64)
        distance, volume = t.exp(), t.exp() * (t[1] - t[0])
        loc = torch.zeros_like(t, requires_grad=True)
        log_q = Triangular(loc, torch.ones_like(t)).log_prob(distance - 1)
        (score,) = torch.autograd.grad(log_q.sum(), loc)
        second = 2 * (log_q.exp() * score.square() * volume).sum().item()
        assert second == pytest.approx(2 * math.log(1 / edge), rel=1e-3)


def test_decoder_that_reads_angles_as_numbers_would_be_biased() -> None:
    vae = model(VonMises, VonMises)
    vae.likelihood.net = shaken(MLP(1, [3], FEATURES, nn.Tanh), 0.8)
    right = gradient(vae, exact.mean(exact.elbo(), exact_nodes(vae, batch(), VonMises, VonMises)))
    with pytest.raises(IncompatibleError, match=r"use elbox.nn.Angles\(net\)"):
        Reparameterized()(vae, batch(), ELBO())
    with mock.patch.object(VAE, "_check_angles"):
        agree(right, Score(), vae, ELBO(samples=2), batch())  # the score does not care
        with pytest.raises(AssertionError, match="standard errors away"):
            agree(right, Reparameterized(), vae, ELBO(samples=2), batch())
