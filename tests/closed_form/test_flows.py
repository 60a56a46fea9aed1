"""Steps of flows against autograd, and flow posteriors against quadrature, for every step and several contexts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.distributions import Transform, constraints
from torch.func import functional_call
from zuko.lazy import LazyTransform

from elbox import ELBO, IWAE, VAE, AnalyticKL, IncompatibleError, Path, Reparameterized, Score, SettingError, ShapeError
from elbox.flows import (
    Affine,
    Autoregressive,
    Continuous,
    Coupling,
    Gate,
    Householder,
    Inverse,
    Linear,
    Neural,
    Orthogonal,
    Planar,
    Radial,
    Shift,
    Spline,
    Sylvester,
    Triangular,
)
from elbox.flows.tanh import above, root
from elbox.likelihoods import FixedGaussian
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal, Flow
from elbox.priors import Factorized, StandardNormal

B, C, K = 4, 3, 5
Make = Callable[[int, int], LazyTransform]
STEPS: dict[str, Make] = {
    "IAF": lambda d, c: Autoregressive(d, c, Gate(), (8,)),
    "IAF, flipped": lambda d, c: Autoregressive(d, c, Gate(0.0), (8, 8), flipped=True),
    "MAF": lambda d, c: Inverse(Autoregressive(d, c, Affine(), (8,))),
    "autoregressive spline": lambda d, c: Autoregressive(d, c, Spline(4), (8,)),
    "NAF": lambda d, c: Autoregressive(d, c, Neural(4, (8,)), (8,)),
    "NICE": lambda d, c: Coupling(d, c, Shift(), (8,)),
    "RealNVP": lambda d, c: Coupling(d, c, Affine(), (8,)),
    "RealNVP, flipped": lambda d, c: Coupling(d, c, Affine(), (8,), flipped=True),
    "coupling spline": lambda d, c: Coupling(d, c, Spline(4, bound=3.0), (8,)),
    "linear": Linear,
    "continuous": lambda d, c: Continuous(d, c, (8,), tolerance=1e-8),
    "planar": Planar,
    "radial": Radial,
    "orthogonal Sylvester": lambda d, c: Sylvester(d, c, Orthogonal(min(2, d))),
    "Householder Sylvester": lambda d, c: Sylvester(d, c, Householder(2)),
    "triangular Sylvester": lambda d, c: Sylvester(d, c, Triangular()),
    "triangular Sylvester, flipped": lambda d, c: Sylvester(d, c, Triangular(flipped=True)),
}
TOLERANCE = {"NAF": 1e-4, "continuous": 1e-4}  # of what is found by bisection or integrated
VOLUME_PRESERVING = ("NICE",)


def shaken(module: nn.Module, by: float = 0.3) -> Any:
    """In double precision, away from the identity, the same each time."""
    module, g = module.double(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(by * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return module


def step(name: str, d: int) -> LazyTransform:
    torch.manual_seed(0)
    return shaken(STEPS[name](d, C))


def contexts() -> Tensor:
    return torch.randn(B, C, generator=torch.Generator().manual_seed(2)).double()


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("name", STEPS)
def test_log_determinant_is_that_of_the_jacobian(name: str, d: int) -> None:
    """By autograd, at K points for each of B contexts; and it differs between contexts, unless volume is preserved."""
    f = step(name, d)(contexts())
    z = 1.5 * torch.randn(K, B, d, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    z.requires_grad_()
    y, log_det = f.call_and_ladj(z)
    assert y.shape == z.shape
    assert log_det.shape == (K, B)
    torch.testing.assert_close(f(z), y, rtol=0, atol=TOLERANCE.get(name, 1e-7))
    torch.testing.assert_close(f.log_abs_det_jacobian(z, y), log_det, rtol=1e-6, atol=1e-6)
    rows = [torch.autograd.grad(y[..., i].sum(), z, retain_graph=True)[0] for i in range(d)]
    exact = torch.linalg.slogdet(torch.stack(rows, -2)).logabsdet
    torch.testing.assert_close(log_det, exact, rtol=1e-4, atol=TOLERANCE.get(name, 1e-7))
    if name in VOLUME_PRESERVING:
        assert not log_det.any()
    else:
        assert log_det.std() > 1e-3


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("name", STEPS)
def test_inverse(name: str, d: int) -> None:
    """f⁻¹(f(z)) = z, f(f⁻¹(z)) = z, and the log-determinants are each other's negative."""
    f, close = step(name, d)(contexts()), TOLERANCE.get(name, 1e-7)
    z = 1.5 * torch.randn(K, B, d, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    y, log_det = f.call_and_ladj(z)
    again, back = f.inv.call_and_ladj(y)
    torch.testing.assert_close(again, z, rtol=close, atol=close)
    torch.testing.assert_close(back, -log_det, rtol=close, atol=10 * close)
    torch.testing.assert_close(f(f.inv(z)), z, rtol=close, atol=close)


@pytest.mark.parametrize("name", ["planar", "radial", "orthogonal Sylvester", "Householder Sylvester", "IAF"])
def test_gradients_of_the_inverse(name: str) -> None:
    """With respect to z, the context and every parameter, through the roots."""
    f, c = step(name, 2), contexts()[:2].requires_grad_()
    names = [n for n, _ in f.named_parameters()]
    z = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)

    class Back(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = f

        def forward(self, c: Tensor, z: Tensor) -> Tensor:
            x, log_det = self.f(c).inv.call_and_ladj(z)
            return torch.cat([x.flatten(), log_det])

    def function(c: Tensor, z: Tensor, *values: Tensor) -> Tensor:
        return functional_call(Back(), {f"f.{n}": v for n, v in zip(names, values, strict=True)}, (c, z))

    values = [p.detach().clone().requires_grad_() for p in f.parameters()]
    assert gradcheck(function, (c, z, *values), fast_mode=True)


@pytest.mark.parametrize("name", ["planar", "radial", "orthogonal Sylvester", "Householder Sylvester", "linear", "IAF"])
@settings(max_examples=30, deadline=None)
@given(size=st.floats(0.0, 1e4), seed=st.integers(0, 99))
def test_finite_whatever_the_network_puts_out(name: str, size: float, seed: int) -> None:
    """Values and gradients in single precision; no context makes a determinant vanish, at a zero of tanh neither."""
    torch.manual_seed(seed)
    f = STEPS[name](3, C)
    c = (size * torch.randn(B, C)).requires_grad_()
    y, log_det = f(c).call_and_ladj(torch.cat([torch.zeros(1, B, 3), torch.randn(K, B, 3)]))
    assert y.isfinite().all()
    assert log_det.isfinite().all()
    (log_det.sum() + y.clamp(-1e6, 1e6).sum()).backward()
    assert c.grad is not None
    assert c.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in f.parameters())


def test_planar_step_at_no_direction_is_the_identity_or_nearly() -> None:
    """With the m of the paper û would be infinite at w = 0."""
    f = Planar(2, C)
    nn.init.zeros_(f.hyper.weight)
    for w in (0.0, 1e-8, 1e-4):
        with torch.no_grad():
            f.hyper.bias.copy_(torch.tensor([1.0, -2.0, w, w, 0.0]))
        z = torch.randn(5, 2)
        assert (f(torch.zeros(5, C))(z) - z).abs().max() < 10 * w + 1e-9


@given(x=st.floats(-1e6, 1e6))
def test_products_stay_above_minus_one(x: float) -> None:
    found = above(torch.tensor([x, x + 1.0]))
    assert -1 < found[0] <= found[1]
    assert above(torch.tensor(0.0)).abs() < 1e-7


@given(y=st.floats(-20, 20), a=st.floats(-3, 3), c=st.floats(-3, 3), above_=st.floats(-0.999, 5))
def test_root_is_a_root(y: float, a: float, c: float, above_: float) -> None:
    """Of any increasing x + a tanh(s x + c): a s > −1."""
    s = above_ / a if abs(a) > 0.1 else 1.0 if a > -1 else 0.0
    values = [torch.tensor(v, dtype=torch.float64) for v in (y, a, s, c)]
    x = root(*values)
    torch.testing.assert_close(x + values[1] * torch.tanh(values[2] * x + values[3]), values[0], rtol=1e-6, atol=1e-6)


# ── the posterior ────────────────────────────────────────────────────────────────────────────────────────────────────


def posterior(name: str, d: int = 2, steps: int = 2) -> Flow:
    torch.manual_seed(0)
    made = [STEPS[name](d, 4) for _ in range(steps)]
    return shaken(Flow(MLP(C, [6], Flow.output_shape(d, 4), nn.Tanh), d, made, 4), 0.2)


@pytest.mark.parametrize("name", STEPS)
def test_density_of_own_draws_is_that_of_any_z(name: str) -> None:
    q, close = posterior(name)(contexts()), TOLERANCE.get(name, 1e-6)
    z, log_q = q.rsample_and_log_prob((K,))
    assert z.shape == (K, B, 2)
    torch.testing.assert_close(q.log_prob(z.detach().clone()), log_q, rtol=10 * close, atol=10 * close)
    torch.manual_seed(4)
    drawn = q.rsample((K,))
    torch.manual_seed(4)
    torch.testing.assert_close(q.rsample_and_log_prob((K,))[0], drawn, rtol=0, atol=close)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in TOLERANCE)) for n in STEPS])
def test_density_integrates_to_one(name: str) -> None:
    """Over the plane, given each of several x."""
    with torch.no_grad():
        q = posterior(name).eval()(contexts())
        samples = q.sample((2000,))
        low, high = samples.amin(0) - 1, samples.amax(0) + 1
        axis = torch.linspace(0, 1, 201).double()
        z = low + torch.cartesian_prod(axis, axis)[:, None] * (high - low)
        density = q.log_prob(z).exp()
        total = density.mean(0) * (201 / 200 * (high - low)).prod(-1)
    torch.testing.assert_close(total, torch.ones(B).double(), rtol=0, atol=1e-2)


@pytest.mark.parametrize("name", STEPS)
def test_x_shapes_the_flow_and_not_its_base_alone(name: str) -> None:
    """Two x with one base, and other features: the same noise becomes other codes, not merely shifted and scaled."""

    class SameBase(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([torch.zeros_like(x[..., :1]).expand(*x.shape[:-1], 4), x], -1)

    torch.manual_seed(0)
    q = shaken(Flow(SameBase(), 2, [STEPS[name](2, C), STEPS[name](2, C)], C))(contexts()[:2])
    noise = torch.randn(400, 1, 2, dtype=torch.float64).expand(-1, 2, -1)
    with torch.no_grad():
        one, other = q.transform(noise).unbind(1)
    design = torch.cat([one, torch.ones_like(one[:, :1])], 1)
    left = other - design @ torch.linalg.lstsq(design, other).solution
    assert (one - other).abs().mean() > 1e-2
    if name != "linear":  # an affine map for every x
        assert left.std() > 1e-4 * other.std()


class Banana(nn.Module):
    """z ↦ (z₁, z₂ − z₁²): the posterior given x₂ alone is bent."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([0.3 * z[..., 0], 2 * (z[..., 1] - z[..., 0].square())], -1)


def trained(posterior: nn.Module, steps: int) -> float:
    """The ELBO of a posterior trained on one example whose true posterior is a banana."""
    x = torch.zeros(1, 2)
    model = VAE(StandardNormal(2), FixedGaussian(Banana(), sigma=0.3), posterior)
    optimizer = torch.optim.Adam(posterior.parameters(), 1e-2)
    for _ in range(steps):
        loss = Reparameterized()(model, x, ELBO(samples=64)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return model.terms(x, samples=20_000).elbo.item()


def flow(name: str, steps: int) -> Flow:
    made: list[LazyTransform] = []
    for t in range(steps):
        flipped = {"flipped": bool(t % 2)} if name in ("IAF", "RealNVP", "coupling spline") else {}
        made.append(
            {
                "IAF": lambda f=flipped: Autoregressive(2, 4, Gate(), (32,), **f),
                "RealNVP": lambda f=flipped: Coupling(2, 4, Affine(), (32,), **f),
                "coupling spline": lambda f=flipped: Coupling(2, 4, Spline(), (32,), **f),
                "planar": lambda: Planar(2, 4),
                "Householder Sylvester": lambda: Sylvester(2, 4, Householder(2)),
            }[name]()
        )
    return Flow(MLP(2, [], Flow.output_shape(2, 4)), 2, made, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps"), [("IAF", 4), ("RealNVP", 4), ("coupling spline", 2), ("planar", 8), ("Householder Sylvester", 4)]
)
def test_training_lowers_the_divergence_from_a_banana(name: str, steps: int) -> None:
    """By at least 60 % of the diagonal posterior's, after 600 steps."""
    axis = torch.linspace(-6, 12, 901)
    z = torch.cartesian_prod(axis, axis)
    joint = FixedGaussian(Banana(), sigma=0.3)(z).log_prob(torch.zeros(2)) + StandardNormal(2)().log_prob(z)
    evidence = joint.exp().sum().mul(0.02**2).log().item()
    torch.manual_seed(0)
    gap = evidence - trained(DiagonalNormal(MLP(2, [], (2, 2)), 2), 300)
    torch.manual_seed(0)
    left = evidence - trained(flow(name, steps), 600)
    assert gap > 0.3
    assert -0.02 < left < 0.4 * gap


# ── what fits ────────────────────────────────────────────────────────────────────────────────────────────────────────


def vae(*steps: LazyTransform) -> VAE:
    q = Flow(MLP(5, [], Flow.output_shape(2, 4)), 2, steps, 4)
    return VAE(StandardNormal(2), FixedGaussian(MLP(2, [], 5)), q)


@pytest.mark.parametrize("name", STEPS)
def test_path_and_score_need_no_more_than_the_inverse(name: str) -> None:
    """Every step of elbox has one; every parameter gets a finite gradient."""
    for estimator in (Path(), Score(), Reparameterized()):
        torch.manual_seed(0)
        model = vae(STEPS[name](2, 4), STEPS[name](2, 4))
        estimator(model, torch.randn(6, 5), IWAE(3)).loss.backward()
        for parameter, p in model.named_parameters():
            assert p.grad is not None, parameter
            assert p.grad.isfinite().all(), parameter


class OneWay(LazyTransform):
    """z ↦ z + 0.1 tanh z, as if its inverse were not known."""

    def forward(self, c: Any = None) -> Transform:
        class Map(Transform):
            domain = codomain = constraints.real_vector
            bijective = False

            def _call(self, x: Tensor) -> Tensor:
                return x + 0.1 * x.tanh()

            def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
                return torch.log1p(0.1 * (1 - x.tanh().square())).sum(-1)

        return Map()


def test_a_step_without_an_inverse_is_sampled_and_its_density_refused() -> None:
    """With a way out that works."""
    model, x = vae(Planar(2, 4), OneWay()), torch.randn(6, 5)
    for estimator in (Path(), Score()):
        with pytest.raises(
            IncompatibleError,
            match=r"got a posterior of steps without an inverse.*; use Reparameterized\(\) with ELBO\(\) or IWAE\(\)",
        ):
            estimator(model, x, IWAE(3))
    for objective in (ELBO(), IWAE(3)):
        Reparameterized()(model, x, objective).loss.backward()


def test_no_closed_form_and_no_other_support() -> None:
    model, x = vae(Planar(2, 4)), torch.randn(6, 5)
    with pytest.raises(IncompatibleError, match=r"AnalyticKL needs a closed-form KL.*\(Pushforward, Independent\)"):
        AnalyticKL()(model, x, ELBO())
    model.prior = Factorized(2, torch.distributions.Gamma)
    with pytest.raises(IncompatibleError, match=r"over the real line with a Gamma prior over positive numbers"):
        Reparameterized()(model, x, ELBO())


def test_messages() -> None:
    with pytest.raises(SettingError, match=r"got no steps for Flow; expected at least one"):
        Flow(MLP(5, [], 8), 2, [], 4)
    with pytest.raises(ShapeError, match=r"got a network output of shape \(3, 7\) for Flow; expected .* to be 8"):
        Flow(MLP(5, [], 7), 2, [Planar(2, 4)], 4)(torch.zeros(3, 5))
    with pytest.raises(SettingError, match=r"got columns=3 with 2 features; expected at most as many"):
        Sylvester(2, 4, Orthogonal(3))


@pytest.mark.slow
def test_trace_is_exact_where_a_model_is_evaluated() -> None:
    """Noise in log q(z|x) would make log p(x) too large."""
    torch.manual_seed(0)
    f, c, z = Continuous(3, C, (8,), exact=False), torch.randn(B, C), torch.randn(B, 3)
    noisy = [f(c).call_and_ladj(z)[1] for _ in range(2)]
    assert not torch.equal(*noisy)
    f.eval()
    exact = [f(c).call_and_ladj(z)[1] for _ in range(2)]
    assert torch.equal(*exact)
    many = torch.stack([f.train()(c).call_and_ladj(z)[1].detach() for _ in range(200)])
    assert ((many.mean(0) - exact[0]).abs() < 4 * many.std(0) / 200**0.5 + 1e-4).all()


def test_a_tolerance_below_the_rounding_of_its_numbers_ends() -> None:
    """In single precision no step has an error of 1e-12: the solver would shorten it for ever."""
    step, z = Continuous(2, 4, (8,), tolerance=1e-12), torch.randn(6, 2)
    there = step(torch.ones(6, 4))(z)
    torch.testing.assert_close(step(torch.ones(6, 4)).inv(there), z, rtol=1e-4, atol=1e-4)
    assert step.transform.atol == 10 * torch.finfo(torch.float32).eps
