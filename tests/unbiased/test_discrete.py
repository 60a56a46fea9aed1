"""Discrete codes: every estimator and objective against enumeration, and nothing leaks between the players."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from elbox import ELBO, IWAE, VAE, IncompatibleError, Renyi, baselines
from elbox.baselines import InputDependent, LeaveOneOut, MovingAverage, StandIn, Zero
from elbox.errors import SettingError
from elbox.estimators import NVIL, REBAR, RELAX, VIMCO, Enumerated, Estimator, Relaxed, Score, StraightThrough
from elbox.likelihoods import Gaussian
from elbox.nn import MLP, LogTotal
from elbox.objectives import Objective
from elbox.posteriors import BernoulliCode
from elbox.priors import BernoulliPrior
from elbox.schedules import Linear
from tests.unbiased import codes, exact
from tests.unbiased.codes import ESTIMATORS, FAMILIES, networks
from tests.unbiased.exact import Formula, Gradient, gradient, nodes
from tests.unbiased.models import FEATURES, batch, encoder
from tests.unbiased.sampled import agree

OBJECTIVES: dict[str, tuple[Objective, Formula]] = {
    "ELBO 1": (ELBO(), exact.elbo()),
    "ELBO 3": (ELBO(samples=3), exact.elbo()),
    "beta": (ELBO(beta=0.4, samples=2), exact.elbo(0.4)),
    "IWAE": (IWAE(2), exact.renyi(0.0, 2)),
    "IWAE 3": (IWAE(3), exact.renyi(0.0, 3)),
    "Renyi 0.5": (Renyi(0.5, 2), exact.renyi(0.5, 2)),
    "Renyi -1": (Renyi(-1.0, 2), exact.renyi(-1.0, 2)),
}


@functools.cache
def exact_gradient(family: str, objective: str) -> Gradient:
    vae, formula = codes.model(family), OBJECTIVES[objective][1]
    return gradient(vae, exact.mean(formula, nodes(vae, batch(), FAMILIES[family].grid)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_pair(family: str, objective: str, estimator: str) -> None:
    """All parameters of the model, within 6 standard errors of the sum over all tuples of codes."""
    vae, goal, how = codes.model(family), OBJECTIVES[objective][0], ESTIMATORS[estimator](family)
    if isinstance(how, Score) and goal.samples < how.baseline.samples:
        with pytest.raises(IncompatibleError, match=r"got ELBO with samples=1; use samples=2 or more"):
            how(vae, batch(), goal)
        return
    if isinstance(how, Score) and isinstance(how.baseline, Zero) and goal.samples > 1:
        return  # unbiased too, but so noisy that nothing could be seen
    assert how.unbiased
    one_baseline = isinstance(how, Score) and how.baseline.samples == 1  # for all samples together: a noisy gradient
    agree(exact_gradient(family, objective), how, vae, goal, batch(), finest=0.12 if one_baseline else 0.05)


def test_every_estimator_and_baseline_is_here() -> None:
    found = {type(how("bits").baseline).__name__ for how in ESTIMATORS.values() if isinstance(how("bits"), Score)}
    assert found == set(baselines.__all__) - {"Baseline", "Signal"}


def trained(how: Estimator, vae: VAE, objective: Objective, steps: int = 30) -> Estimator:
    """The estimator after some steps on its own loss, the model held still."""
    optimizer = torch.optim.Adam(how.parameters(), 0.05)
    for seed in range(steps):
        torch.manual_seed(seed)
        optimizer.zero_grad()
        how(vae, batch(), objective).loss.backward()
        optimizer.step()
    return how


@pytest.mark.parametrize("estimator", ["NVIL", "REBAR", "RELAX"])
@pytest.mark.parametrize("family", FAMILIES)
def test_unbiased_after_training_of_its_own_parameters(family: str, estimator: str) -> None:
    vae, how = codes.model(family), ESTIMATORS[estimator](family)
    before = [p.clone() for p in how.parameters()]
    trained(how, vae, ELBO())
    assert all(not torch.equal(a, b) for a, b in zip(before, how.parameters(), strict=True))
    agree(exact_gradient(family, "ELBO 1"), how, vae, ELBO(), batch())


# ── nothing leaks ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("objective", ["ELBO 1", "IWAE 3"])
@pytest.mark.parametrize("estimator", ["NVIL", "REBAR", "RELAX"])
@pytest.mark.parametrize("family", FAMILIES)
def test_own_loss_leaves_the_model_alone(family: str, estimator: str, objective: str) -> None:
    """The model's gradient is the same to the bit whether the estimator's parameters are trained or not."""
    found = []
    for trainable in (True, False):
        vae, how = codes.model(family), ESTIMATORS[estimator](family).requires_grad_(trainable)
        torch.manual_seed(3)
        loss, value, _ = how(vae, batch(), OBJECTIVES[objective][0])
        assert torch.equal(loss, -value.mean())
        found.append(gradient(vae, loss))
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])


def own_gradient(how: Estimator, vae: VAE, objective: Objective) -> dict[str, Tensor]:
    names, parameters = zip(*how.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(how(vae, batch(), objective).loss, parameters), strict=True))


def test_baseline_of_nvil_learns_by_least_squares_alone() -> None:
    """Its gradient is that of mean (F − C(x) − c)² / 2, whatever the model's loss is."""
    vae, how = codes.model("bits"), NVIL(encoder(1).double(), 0.5).double()
    how.baseline.center.fill_(-3.0)
    torch.manual_seed(3)
    found = own_gradient(how.eval(), vae, ELBO())
    torch.manual_seed(3)
    value = how(vae, batch(), ELBO()).objective.detach()
    error = value - how.baseline.net(batch())[:, 0] + 3.0
    expected = torch.autograd.grad(0.5 * error.square().mean(), list(how.parameters()))
    for a, b in zip(found.values(), expected, strict=True):
        torch.testing.assert_close(a, b)


class Table(nn.Module):
    """Logits that are parameters: their gradient is what REBAR and RELAX make small."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(0.5 * torch.randn(len(batch()), *shape, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits


@pytest.mark.parametrize("objective", ["ELBO 1", "beta", "IWAE 3"])
@pytest.mark.parametrize("estimator", ["REBAR", "RELAX"])
@pytest.mark.parametrize("family", FAMILIES)
def test_own_gradient_is_that_of_the_squared_gradient(family: str, estimator: str, objective: str) -> None:
    """Mean over the batch of |∇_l F|², by central differences under the same noise."""
    vae, how, goal = codes.model(family), ESTIMATORS[estimator](family), OBJECTIVES[objective][0]
    vae.posterior.net = Table(*vae.posterior.net.outputs)

    def square() -> float:
        torch.manual_seed(3)
        g = torch.autograd.grad(how(vae, batch(), goal).loss, vae.posterior.net.logits)[0]
        return len(batch()) * g.square().sum().item()  # the loss is a mean over the batch

    torch.manual_seed(3)
    found = own_gradient(how, vae, goal)
    for name, parameter in how.named_parameters():
        flat, at = parameter.data.view(-1), parameter.numel() // 2
        old, ends = flat[at].item(), []
        for step in (1e-5, -1e-5):
            flat[at] = old + step
            ends.append(square())
        flat[at] = old
        slope = (ends[0] - ends[1]) / 2e-5
        assert found[name].view(-1)[at].item() == pytest.approx(slope, rel=1e-4, abs=1e-6), name


# ── what the baselines are ──────────────────────────────────────────────────────────────────────────────────────────


def weights(baseline: baselines.Baseline, objective: Objective) -> Tensor:
    vae = codes.model("bits")
    torch.manual_seed(4)
    terms = vae.terms(batch(), objective.samples, draw=Score().draw)
    return baseline(objective, terms, objective(terms), 1.0).weight


def test_stand_in_is_the_formula_of_vimco() -> None:
    vae, k = codes.model("bits"), 4
    torch.manual_seed(4)
    log_w = vae.terms(batch(), k, draw=Score().draw).log_w
    expected = torch.empty_like(log_w)
    for b in range(log_w.shape[1]):
        for i in range(k):
            others = torch.cat([log_w[:i, b], log_w[i + 1 :, b]])
            bound = torch.logsumexp(torch.cat([others, others.mean()[None]]), 0) - math.log(k)
            expected[i, b] = torch.logsumexp(log_w[:, b], 0) - math.log(k) - bound
    torch.testing.assert_close(weights(StandIn(), IWAE(k)), expected)


def test_arithmetic_stand_in_is_leave_one_out() -> None:
    vae, k = codes.model("bits"), 4
    torch.manual_seed(4)
    w = vae.terms(batch(), k, draw=Score().draw).log_w.exp()
    means = (w.sum(0) - w) / (k - 1)
    expected = torch.log(w.mean(0)) - torch.log((w.sum(0) - w + means) / k)
    torch.testing.assert_close(weights(LeaveOneOut(), IWAE(k)), expected)
    assert isinstance(VIMCO(arithmetic=True).baseline, LeaveOneOut)


def test_for_the_elbo_both_stand_ins_are_the_mean_of_the_others() -> None:
    goal = ELBO(beta=0.4, samples=4)
    torch.testing.assert_close(weights(StandIn(), goal), weights(LeaveOneOut(), goal))


def test_moving_averages_forget_and_never_see_the_present_batch() -> None:
    vae, how = codes.model("bits"), Score(MovingAverage(0.75)).double()
    first = how(vae, batch(), ELBO()).objective.mean()
    assert how.baseline.center.item() == pytest.approx(0.25 * first.item())
    second = how(vae, batch(), ELBO()).objective.mean()
    assert how.baseline.center.item() == pytest.approx(0.75 * 0.25 * first.item() + 0.25 * second.item())
    how.eval()
    how(vae, batch(), ELBO())
    assert how.baseline.center.item() == pytest.approx(0.75 * 0.25 * first.item() + 0.25 * second.item())


def test_normalised_signal_shortens_the_gradient_of_the_posterior_alone() -> None:
    """By max(1, √v), the same for all of it; and it says that it is biased."""
    vae, found = codes.model("bits"), []
    for normalize in (True, False):
        how = NVIL(encoder(1).double(), normalize=normalize).double().eval()
        torch.manual_seed(0)
        how.baseline.net.load_state_dict(encoder(1).double().state_dict())
        how.baseline.spread.fill_(9.0)
        torch.manual_seed(3)
        found.append(gradient(vae, how(vae, batch(), ELBO(beta=0.0)).loss))  # no log q in the objective itself
        assert how.unbiased == (not normalize)
        assert bool(how.bias) == normalize
    for name, g in found[1].items():
        torch.testing.assert_close(found[0][name], g / 3 if name.startswith("posterior") else g)


def test_nvil_beats_plain_reinforce() -> None:
    """A baseline that has learned: less variance."""
    vae, spread = codes.model("bits"), {}
    nvil = trained(NVIL(encoder(1).double()).double(), vae, ELBO(), steps=200)
    for name, how in {"zero": Score(baselines.Zero()), "nvil": nvil.eval()}.items():
        torch.manual_seed(5)
        found = [gradient(vae, how(vae, batch(), ELBO()).loss) for _ in range(200)]
        spread[name] = sum(
            torch.stack([g[n] for g in found]).var(0).sum() for n in found[0] if n.startswith("posterior")
        )
    assert spread["nvil"] < 0.5 * spread["zero"]


@pytest.mark.parametrize("make", [REBAR, NVIL])
def test_a_baseline_sees_the_condition_that_the_model_computes(make: Callable[..., Estimator]) -> None:
    """The posterior's input is (x, c), whoever makes c."""
    net, x, found = MLP(FEATURES, [3], 3, nn.Tanh, context=1), batch().abs(), []
    vae = VAE(BernoulliPrior(3), Gaussian(MLP(3, [3], FEATURES, context=1)), BernoulliCode(net, 3), LogTotal()).double()
    for c in (None, LogTotal()(x)):
        torch.manual_seed(1)
        how = make(MLP(FEATURES, [3], 1, nn.Tanh, context=1)).double()
        found.append(gradient(vae, how(vae, x, ELBO(), c=c).loss))
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name])


# ── enumeration ─────────────────────────────────────────────────────────────────────────────────────────────────────

ENUMERATED: dict[str, tuple[Objective, Formula]] = {
    "ELBO": (ELBO(), exact.elbo()),
    "samples are ignored": (ELBO(samples=7), exact.elbo()),
    "beta": (ELBO(beta=0.4), exact.elbo(0.4)),
    "schedule": (ELBO(beta=Linear(over=0.5)), exact.elbo(0.5)),
    "capacity": (ELBO(beta=2.0, capacity=0.3), exact.capacity(0.3, 2.0, closed_form=True)),
}


@pytest.mark.parametrize("objective", ENUMERATED)
@pytest.mark.parametrize("family", FAMILIES)
def test_enumeration_is_exact_and_has_no_variance(family: str, objective: str) -> None:
    vae, (goal, formula) = codes.model(family), ENUMERATED[objective]
    value = exact.mean(formula, nodes(vae, batch(), FAMILIES[family].grid))
    right = gradient(vae, value)
    for seed in (0, 1):
        torch.manual_seed(seed)
        loss, found, _ = Enumerated()(vae, batch(), goal, progress=torch.tensor(0.25, dtype=torch.float64))
        torch.testing.assert_close(loss, -value)
        torch.testing.assert_close(loss, -found.mean())
        torch.testing.assert_close(gradient(vae, -loss), right)


@pytest.mark.parametrize("each", [False, True])
def test_free_bits_of_enumerated_codes(each: bool) -> None:
    vae = codes.model("choices")
    group = vae.terms(batch(), draw=Score().draw).groups["z"].with_kl()
    rates = group.rate_per_dimension().mean(0) if each else group.rate.mean(0, keepdim=True)
    bits = 0.9 * rates.detach().mean().item()
    distortion = exact.mean(lambda n: (n.weight * n.log_px).sum(), nodes(vae, batch(), FAMILIES["choices"].grid))
    value = distortion - rates.clamp(min=bits).sum()
    loss = Enumerated()(vae, batch(), ELBO(free_bits=bits, per_dimension=each)).loss
    torch.testing.assert_close(gradient(vae, -loss), gradient(vae, value))


# ── refusals ────────────────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "too many codes": (
        lambda: Enumerated(limit=7),
        ELBO(),
        r"at most 7 codes, got a BernoulliCode .* with 8; use",
    ),
    "enumerated weights": (
        Enumerated,
        IWAE(2),
        r"Enumerated needs an objective of distortion .* Renyi .*; use",
    ),
    "one sample": (VIMCO, ELBO(), r"got ELBO with samples=1; use samples=2 or more"),
    "free bits": (
        REBAR,
        ELBO(free_bits=0.1),
        r"RELAX needs an objective of each example .* this ELBO is not; use Relaxed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    how, goal, message = REFUSED[name]
    with pytest.raises(IncompatibleError, match=message):
        how()(codes.model("bits"), batch(), goal)


@pytest.mark.parametrize("how", [Enumerated(), Relaxed(), StraightThrough(), REBAR()], ids=lambda h: type(h).__name__)
def test_continuous_codes_are_refused(how: Estimator) -> None:
    from tests.unbiased.models import model

    message = r"posterior over discrete codes, got DiagonalNormal .*; use Reparameterized\(\), or a Bern"
    with pytest.raises(IncompatibleError, match=message):
        how(model(), batch(), ELBO())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Relaxed(0.0),
        lambda: StraightThrough(-1.0),
        lambda: RELAX(temperature=0.0),
        lambda: MovingAverage(1.0),
        lambda: InputDependent(encoder(1), -0.1),
    ],
)
def test_impossible_settings(make: object) -> None:
    with pytest.raises(SettingError, match=r"got (temperature|decay)=.*; expected"):
        make()  # type: ignore[operator]


def test_surrogate_sees_code_and_input() -> None:
    """r is called with relaxed codes [K, B, D] and the flattened input [K, B, F]."""
    seen: list[tuple[Tensor, Tensor]] = []

    class Spy(nn.Module):
        def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:
            seen.append(pair)
            return pair[0].sum(-1, keepdim=True)

    RELAX(Spy()).double()(codes.model("choices"), batch(), IWAE(3))
    ((z, x),) = seen
    assert z.shape == (3, 2, 6)
    assert torch.equal(x, batch().expand(3, -1, -1))
    assert ((z > 0) & (z < 1)).all()
    assert networks("choices")[0]((z, x)).shape == (3, 2, 1)
