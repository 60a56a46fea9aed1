"""MIWAE, CIWAE, TVO and CUBO: hand-computed values, limits, orderings, and the exact evidence between them."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elbox import ELBO, IWAE, VAE, Renyi, Score, Terms
from elbox.evaluate import evaluate
from elbox.objectives import CIWAE, CUBO, MIWAE, PIWAE, TVO, Objective
from tests.closed_form.linear import data, evidence, linear_gaussian
from tests.closed_form.test_evidence import se
from tests.closed_form.test_objectives import terms

E3 = torch.tensor([[1.0], [2.0], [6.0]]).log()  # weights 1, 2 and 6


def separable(k: int) -> list[Objective]:
    """Every smooth bound of 4 samples, `k` of them in each inner bound."""
    return [
        *(ELBO(samples=4), IWAE(4), Renyi(0.5, 4), Renyi(-1.0, 4)),
        *(MIWAE(4 // k, k), CIWAE(0.3, 4), CIWAE(0.0, 4), CIWAE(1.0, 4)),
        *(
            TVO(1, 4),
            TVO(2, 4),
            TVO(5, 4, -2.0),
            TVO(1, 4, upper=True),
            TVO(3, 4, upper=True),
            CUBO(2.0, 4),
            CUBO(3.5, 4),
        ),
    ]


def named(objective: Objective) -> str:
    return f"{type(objective).__name__} {list(objective.arguments.values())}"


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_miwae_by_hand() -> None:
    """Weights (1, 3) and (2, 8): ½ (log 2 + log 5). The samples of one bound are neighbours: axes are not swapped."""
    t = Terms(torch.tensor([[1.0], [3.0], [2.0], [8.0]]).log(), {})
    assert MIWAE(2, 2)(t).item() == pytest.approx((math.log(2) + math.log(5)) / 2)
    torch.testing.assert_close(MIWAE(2, 2).path_scale(t)[:, 0], torch.tensor([0.25, 0.75, 0.2, 0.8]))
    swapped = (math.log(1.5) + math.log(5.5)) / 2
    assert abs(MIWAE(2, 2)(t).item() - swapped) > 0.05


def test_ciwae_by_hand() -> None:
    value = 0.25 * math.log(12) / 3 + 0.75 * math.log(3)
    assert CIWAE(0.25, 3)(Terms(E3, {})).item() == pytest.approx(value)


def test_cubo_by_hand() -> None:
    """½ log((1 + 4 + 36)/3), of negative sign: it is minimised."""
    assert CUBO(2.0, 3)(Terms(E3, {})).item() == pytest.approx(-0.5 * math.log(41 / 3))
    assert CUBO(3.0, 3)(Terms(E3, {})).item() == pytest.approx(-math.log((1 + 8 + 216) / 3) / 3)


def test_tvo_by_hand() -> None:
    """β = 0, ½, 1: E_0 = (log 12)/3, E_½ = Σ √w log w / Σ √w, E_1 = (2 log 2 + 6 log 6)/9."""
    t, roots = Terms(E3, {}), (1.0, math.sqrt(2), math.sqrt(6))
    zero, one = math.log(12) / 3, (2 * math.log(2) + 6 * math.log(6)) / 9
    half = (roots[1] * math.log(2) + roots[2] * math.log(6)) / sum(roots)
    x = math.log10(0.5)
    assert TVO(2, 3, x)(t).item() == pytest.approx((zero + half) / 2)
    assert TVO(2, 3, x, upper=True)(t).item() == pytest.approx(-(half + one) / 2)


def test_partitions_are_log_spaced() -> None:
    betas = torch.tensor(TVO(6, log_first=-2.5).betas, dtype=torch.float64)
    assert betas[0] == 0
    torch.testing.assert_close(betas[1:], torch.logspace(-2.5, 0, 6, dtype=torch.float64))
    assert TVO(1).betas == (0.0, 1.0)


# ── limits ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def gradient(objective: Objective, t: Terms) -> tuple[Tensor, Tensor]:
    log_px = t.log_px.detach().requires_grad_()
    value = objective(Terms(log_px, t.groups))
    return value.detach(), torch.autograd.grad(value.sum(), log_px)[0]


SAME: dict[str, tuple[Objective, Objective]] = {
    "MIWAE(1, K) is IWAE(K)": (MIWAE(1, 6), IWAE(6)),
    "MIWAE(M, 1) is the ELBO of M samples": (MIWAE(6, 1), ELBO(samples=6)),
    "CIWAE with β = 1 is the ELBO": (CIWAE(1.0, 6), ELBO(samples=6)),
    "CIWAE with β = 0 is IWAE": (CIWAE(0.0, 6), IWAE(6)),
    "TVO of one interval is the ELBO": (TVO(1, 6), ELBO(samples=6)),
    "PIWAE(1, K) is IWAE(K)": (PIWAE(1, 6), IWAE(6)),
}


@pytest.mark.parametrize("name", SAME)
def test_limit(name: str) -> None:
    """Value, gradient, path scale and leave-one-out stand-in are all the same."""
    t, (a, b) = terms(k=6, groups=2), SAME[name]
    torch.testing.assert_close(gradient(a, t), gradient(b, t))
    for one, other in zip(a.pair, b.pair, strict=True):
        torch.testing.assert_close(one.path_scale(t), other.path_scale(t))
        torch.testing.assert_close(one.leave_one_out(t), other.leave_one_out(t))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_with_equal_weights_every_bound_is_the_weight(k: int) -> None:
    log_w = torch.full((4, 3), -2.5, dtype=torch.float64)
    for objective in separable(k):
        sign = 1 if objective.fits_model else -1
        torch.testing.assert_close(sign * objective(Terms(log_w, {})), log_w[0])


@pytest.mark.parametrize("make", [lambda: MIWAE(1, 1), lambda: CIWAE(0.3, 1), lambda: TVO(4, 1), lambda: PIWAE(1, 1)])
def test_with_one_sample_every_bound_is_the_elbo(make: type[Objective]) -> None:
    t = terms(k=1)
    torch.testing.assert_close(make()(t), t.elbo)
    torch.testing.assert_close(-CUBO(2.0, 1)(t), t.elbo)  # not above log p(x): see CUBO


def test_cubo_is_minus_a_renyi_bound() -> None:
    t = terms()
    for order in (1.5, 2.0, 4.0):
        torch.testing.assert_close(CUBO(order, 5)(t), -Renyi(1 - order, 5)(t))


def test_tvo_tends_to_the_importance_weighted_bound() -> None:
    """The sums enclose the integral over β, which is log (1/K) Σ w for every draw; their distance falls as 1/S."""
    t = terms()
    gaps = []
    for s in (4, 16, 64, 256):
        left, right = TVO(s, 5, -4.0)(t), -TVO(s, 5, -4.0, upper=True)(t)
        assert (left <= IWAE(5)(t)).all()
        assert (right >= IWAE(5)(t)).all()
        gaps.append((right - left).max().item())
    assert gaps[-1] < 0.02 * gaps[0] * 4
    assert all(b < a / 2 for a, b in itertools.pairwise(gaps))


# ── what estimators ask of them ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("k", [1, 2, 4])
def test_path_scale_is_what_the_second_derivative_says(k: int) -> None:
    """1 − F_kk/F_k for every smooth F of the log-weights: the score term, reparameterised once more, is −F_kk.

    E[F_k ∇ log q(z_k)] = E[(∂F_k/∂z_k) ∂z_k/∂φ] and ∂F_k/∂z_k = F_kk ∂log w_k/∂z_k.
    """
    log_w = torch.randn(4, 3, dtype=torch.float64)
    for objective in separable(k):
        expected = 1 - diagonal_of_hessian(objective, log_w) / gradient(objective, Terms(log_w, {}))[1]
        found = objective.path_scale(Terms(log_w, {}))
        torch.testing.assert_close(found, expected, msg=lambda m, o=objective: f"{named(o)}: {m}")


def diagonal_of_hessian(objective: Objective, log_w: Tensor) -> Tensor:
    """∂²F_b/∂(log w_kb)², [K, B]."""
    full = torch.autograd.functional.hessian(lambda t: objective(Terms(t, {})).sum(), log_w)
    return torch.stack([full[k, :, k, :].diagonal() for k in range(len(log_w))])


@pytest.mark.parametrize("k", [1, 2, 4])
def test_stand_in_does_not_know_the_sample_left_out(k: int) -> None:
    log_w = torch.randn(4, 3, dtype=torch.float64).requires_grad_()
    for objective in separable(k):
        stand_in = objective.leave_one_out(Terms(log_w, {}))
        assert stand_in.shape == (4, 3)
        for i in range(4):
            (g,) = torch.autograd.grad(stand_in[i].sum(), log_w, retain_graph=True)
            assert not g[i].any(), named(objective)
            assert g.any(), named(objective)


def test_stand_in_of_miwae_by_deletion() -> None:
    """Without its sample a bound is that of the others in it; the other bounds stay."""
    t = Terms(torch.randn(6, 2, dtype=torch.float64), {})
    found, log_w = MIWAE(2, 3).leave_one_out(t), t.log_px.unflatten(0, (2, 3))
    for m, k in itertools.product(range(2), range(3)):
        rest = [i for i in range(3) if i != k]
        own = torch.logsumexp(log_w[m][rest], 0) - math.log(2)
        other = torch.logsumexp(log_w[1 - m], 0) - math.log(3)
        torch.testing.assert_close(found[3 * m + k], (own + other) / 2)


@settings(max_examples=50, deadline=None)
@given(log_w=st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), k=st.sampled_from([1, 2, 4]))
def test_no_weight_overflows(log_w: list[float], k: int) -> None:
    """Finite value, scale and gradient for weights from e^{−10⁴} to e^{10⁴}, in single precision."""
    for objective in separable(k):
        t = Terms(torch.tensor(log_w)[:, None].requires_grad_(), {})
        value = objective(t)
        value.sum().backward()
        sign = 1 if objective.fits_model else -1
        assert min(log_w) - 1 <= sign * value.item() <= max(log_w) + 1, named(objective)
        assert objective.path_scale(t).isfinite().all(), named(objective)
        assert objective.leave_one_out(t).isfinite().all(), named(objective)
        assert t.log_px.grad.isfinite().all(), named(objective)


# ── bounds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=100, deadline=None)
@given(log_w=st.lists(st.floats(-30, 30), min_size=4, max_size=4))
def test_order_on_the_same_samples(log_w: list[float]) -> None:
    """ELBO ≤ CIWAE ≤ IWAE ≤ CUBO, ELBO ≤ MIWAE ≤ IWAE and ELBO ≤ left TVO ≤ IWAE ≤ right TVO, for every draw."""
    t = Terms(torch.tensor(log_w, dtype=torch.float64)[:, None], {})
    elbo, iwae = t.elbo.item(), IWAE(4)(t).item()
    for between in (MIWAE(2, 2), CIWAE(0.5, 4), TVO(2, 4), TVO(7, 4, -3.0)):
        assert elbo - 1e-9 <= between(t).item() <= iwae + 1e-9, named(between)
    for above in (CUBO(2.0, 4), CUBO(3.0, 4), TVO(2, 4, upper=True), TVO(7, 4, -3.0, upper=True)):
        assert -above(t).item() >= iwae - 1e-9, named(above)
    assert -CUBO(3.0, 4)(t).item() >= -CUBO(2.0, 4)(t).item() - 1e-9


@pytest.mark.parametrize("posterior", ["full", "diagonal"])
def test_with_the_true_posterior_every_bound_is_the_evidence(posterior: str) -> None:
    model, x = linear_gaussian(posterior, "learned"), data()
    for objective in (*separable(2), PIWAE(2, 2)):
        sign = 1 if objective.fits_model else -1
        torch.testing.assert_close(sign * objective(model.terms(x, samples=4)), evidence(model, x))


def repeated(objective: Objective, n: int = 4000, b: int = 4, off: float = 0.15) -> tuple[Tensor, Tensor]:
    """The bound of n draws for b examples under a posterior that is off, [n, b], and the exact evidence [b]."""
    torch.manual_seed(1)
    model, x = linear_gaussian("full", exact=False, off=off), data(b)
    value = objective(model.terms(x.repeat_interleave(n, 0), samples=objective.samples)).detach()
    return value.unflatten(0, (b, n)).T, evidence(model, x)


@pytest.mark.parametrize(
    "objective",
    [MIWAE(2, 4), CIWAE(0.2, 8), TVO(2, 8), TVO(6, 8, -2.0), PIWAE(2, 4)],
    ids=["MIWAE", "CIWAE", "TVO 2", "TVO 6", "PIWAE"],
)
def test_lower_bound_on_the_exact_evidence(objective: Objective) -> None:
    """In expectation, by 3 standard errors; and clearly below it, so that the test sees something."""
    values, exact = repeated(objective)
    assert (values.mean(0) < exact + 3 * se(values)).all()
    assert (values.mean(0) < exact - 3 * se(values)).any()


RISING: dict[str, list[Objective]] = {
    "MIWAE in K": [MIWAE(4, k) for k in (1, 2, 4, 8)],
    "CIWAE as β falls": [CIWAE(b, 8) for b in (1.0, 0.7, 0.3, 0.0)],
    "TVO in S": [TVO(s, 8, -0.5) for s in (1, 2, 4, 16)],
    "TVO in K": [TVO(4, k, -1.0) for k in (1, 4, 16)],
    "CUBO in K": [CUBO(2.0, k) for k in (1, 4, 16, 64)],
}


@pytest.mark.parametrize("name", RISING)
def test_bound_rises(name: str) -> None:
    """In the mean over examples, each step by more than 3 standard errors."""
    means, errors = [], []
    for objective in RISING[name]:
        values, _ = repeated(objective)
        sign = 1 if objective.fits_model else -1
        means.append(sign * values.mean().item())
        errors.append(se(values.mean(1)).item())
    for i in range(len(means) - 1):
        assert means[i + 1] - means[i] > 3 * math.hypot(errors[i], errors[i + 1]), means


def test_expectation_of_miwae_is_that_of_iwae_with_a_lower_variance() -> None:
    """E MIWAE(M, K) = E IWAE(K), Var MIWAE(M, K) = Var IWAE(K)/M."""
    many, _ = repeated(MIWAE(8, 4), n=8000)
    one, _ = repeated(IWAE(4), n=8000)
    assert ((many.mean(0) - one.mean(0)).abs() < 4 * torch.hypot(se(many), se(one))).all()
    torch.testing.assert_close(many.var(0), one.var(0) / 8, rtol=0.15, atol=0.0)


def exact_cubo(model: VAE, x: Tensor, order: float) -> Tensor:
    """(1/n) log ∫ q(z|x) w(z)ⁿ dz by quadrature over the plane, [B]."""
    axis = torch.linspace(-9, 9, 301, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)[:, None].expand(-1, len(x), -1)
    log_q = model.posterior(x).log_prob(z)
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - log_q
    return ((torch.logsumexp(log_q + order * log_w, 0) + 2 * math.log(axis[1] - axis[0])) / order).detach()


@pytest.mark.parametrize("order", [1.5, 2.0, 3.0])
def test_what_of_cubo_is_an_upper_bound(order: float) -> None:
    """CUBO_n itself is; (1/K) Σ wⁿ is in expectation, for every K; its logarithm is not: for K = 1 it is the ELBO."""
    torch.manual_seed(1)
    model, x = linear_gaussian("full", exact=False, off=0.05), data(4)  # nearer: high powers of weights vary a lot
    exact = exact_cubo(model, x, order)
    assert (exact > evidence(model, x) + 1e-3).all()
    assert (exact_cubo(model, x, order + 1) > exact).all()
    for k in (1, 4):
        objective = CUBO(order, k)
        values, log_p = repeated(objective, n=20_000, off=0.05)
        power = (-order * (values + exact)).exp()  # (1/K) Σ wⁿ / exp(n CUBO_n), of expectation 1
        assert ((power.mean(0) - 1).abs() < 4 * se(power)).all()
        assert (-values.mean(0) < exact - 3 * se(values)).all()
        if k == 1:
            assert (-values.mean(0) < log_p - 3 * se(values)).all()


def test_evaluation_brackets_the_evidence() -> None:
    """log-likelihood ≤ log p(x) ≤ CUBO_2 with many samples; the estimate is that of the objective, on its samples."""
    torch.manual_seed(1)
    model, x = linear_gaussian("full", exact=False, off=0.05), data(4)
    result = evaluate(model, x, samples=20_000)
    assert result.log_likelihood is not None
    upper = result.cubo()
    assert upper is not None
    exact = evidence(model, x).mean().item()
    assert abs(upper.mean - exact_cubo(model, x, 2.0).mean().item()) < 0.02
    assert abs(result.log_likelihood.mean - exact) < 0.02 < upper.mean - exact
    one = evaluate(model, x, samples=1)
    assert one.cubo() == one.log_likelihood
    assert type(result).from_json(result.to_json()).cubo() is None


def test_selection_is_by_a_lower_bound() -> None:
    assert CUBO(2.0, 7).bound().arguments == {"alpha": 0.0, "samples": 7}
    assert TVO(3, 4, -2.0, upper=True).bound().arguments == TVO(3, 4, -2.0).arguments
    assert PIWAE(2, 3).bound().arguments == {"alpha": 0.0, "samples": 6}
    for objective in (MIWAE(2, 3), CIWAE(0.4, 3), TVO(3, 4)):
        assert objective.bound().arguments == objective.arguments


def test_baseline_of_score_is_the_stand_in() -> None:
    """Score's surrogate weighs ∇ log q(z_k) by F − F_{−k}, with the objective's own stand-in."""
    t = terms(k=4)
    log_q = t.groups["z0"].log_qz.requires_grad_()
    for objective in (MIWAE(2, 2), MIWAE(4, 1), CIWAE(0.5, 4), TVO(2, 4)):
        (found,) = torch.autograd.grad(Score().estimate(objective, t, 1.0).loss, log_q)
        (direct,) = torch.autograd.grad(-objective(t).mean(), log_q)
        expected = -(objective(t) - objective.leave_one_out(t)) / 3
        torch.testing.assert_close(found - direct, expected.detach())
