"""Double precision: every part follows `.to(dtype)`, agrees with single precision, and passes gradcheck.

Half precision, as on CUDA (here autocast of the CPU): products are rounded, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
import zuko
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.distributions import Distribution
from torch.func import functional_call

from elbox import VAE, Group, Recipe, Terms, draws
from elbox.distributions import DiscretizedLogistic, Tokens, diagonal_normal, soft_clip
from elbox.flows import Autoregressive, Linear, Planar, Sylvester
from elbox.likelihoods import Gaussian
from elbox.nn import MLP
from elbox.posteriors import Flow
from elbox.priors import StandardNormal
from elbox.train.precision import products_alone
from elbox.train.step import Step
from tests.components import IMAGE, LATENT, example, make, of, posterior_of, surroundings
from tests.components import objective as make_objective
from tests.contracts.test_forward import CODES, CONSTANT, OWN_DRAWS, RANDOM, WITHOUT_MEAN, WITHOUT_PARAMETERS, inputs

STANDARD = diagonal_normal(torch.zeros(LATENT), torch.ones(LATENT))
MODULES = of("priors", "posteriors", "likelihoods", "nn")


def numbers(part: nn.Module, name: str, x: Tensor) -> Tensor:
    """What the part computes from x without drawing: densities, means, outputs."""
    fixed = torch.linspace(-1.5, 1.5, 3 * LATENT, dtype=x.dtype).reshape(3, LATENT)
    axis = name.split(".")[0]
    if axis == "priors":
        p = part()
        return p.log_prob(p.codebook(p.codebook.codes(fixed)) if isinstance(p, Tokens) else fixed)
    if name in ("posteriors.Deterministic", "posteriors.Centre"):
        return part(x).mean
    if name in OWN_DRAWS:
        torch.manual_seed(0)
        return torch.cat([t.flatten() for t in part(x).rsample_and_log_prob((2,))])
    if axis == "posteriors":
        q = part(x)
        return q.log_prob(fixed) if name in WITHOUT_MEAN else torch.cat([q.log_prob(fixed), q.mean.flatten()])
    if axis == "likelihoods":
        p, y = part(x), example(name).to(x.dtype)
        return torch.cat([p.log_prob(y), p.mean.flatten()])
    return part(x)


@pytest.mark.parametrize("name", [n for n in MODULES if n not in (*RANDOM, *OWN_DRAWS)])
def test_to_dtype(name: str) -> None:
    part, x = make(name).eval(), inputs(name)
    single = numbers(part, name, x)
    double = numbers(part.to(torch.float64), name, x.double() if x.is_floating_point() else x)
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODULES)
def test_no_parameter_or_buffer_escapes_to_dtype(name: str) -> None:
    part = make(name).to(torch.float64)
    assert {t.dtype for t in (*part.parameters(), *part.buffers()) if t.is_floating_point()} <= {torch.float64}


@pytest.mark.parametrize("name", of("likelihoods", "priors", "posteriors"))
def test_samples_have_the_dtype_of_the_part(name: str) -> None:
    part = make(name).to(torch.float64)
    d = part() if name.startswith("priors.") else part(inputs(name).double())
    assert (d.rsample() if name == "posteriors.Deterministic" else d.sample()).dtype == torch.float64


ADAPTIVE = ("priors.Diffusion",)  # its steps depend on its weights; tests/closed_form/test_diffusion.py
STRAIGHT = "posteriors.QuantizedCode"  # its gradient is another function's
PLAIN = [n for n in MODULES if n not in (*WITHOUT_PARAMETERS, *CONSTANT, *RANDOM, *ADAPTIVE, *CODES, STRAIGHT)]


@pytest.mark.parametrize("name", [*PLAIN, "nn.Standardize"])
def test_gradcheck(name: str) -> None:
    """With respect to every parameter and the input, in float64."""
    part = make(name).to(torch.float64).eval()
    x = inputs(name).double().requires_grad_()
    names = [n for n, _ in part.named_parameters()]

    def f(x: Tensor, *values: Tensor) -> Tensor:
        weights = dict(zip(names, values, strict=True))
        return functional_call(Numbers(part, name), {f"part.{k}": v for k, v in weights.items()}, (x,))

    values = [p.detach().clone().requires_grad_() for p in part.parameters()]
    assert gradcheck(f, (x, *values), fast_mode=True)


class Numbers(nn.Module):
    def __init__(self, part: nn.Module, name: str) -> None:
        super().__init__()
        self.part, self.name = part, name

    def forward(self, x: Tensor) -> Tensor:
        return numbers(self.part, self.name, x)


@pytest.mark.parametrize("name", ["posteriors.DiagonalNormal", "posteriors.FullNormal", "posteriors.Deterministic"])
def test_gradcheck_of_a_sample(name: str) -> None:
    """The path z(φ) under fixed noise."""
    part, x = make(name).to(torch.float64), inputs(name).double()
    names = [n for n, _ in part.named_parameters()]

    def f(*values: Tensor) -> Tensor:
        torch.manual_seed(0)
        return functional_call(part, dict(zip(names, values, strict=True)), (x,)).rsample((2,))

    assert gradcheck(f, tuple(p.detach().clone().requires_grad_() for p in part.parameters()))


@pytest.mark.parametrize("name", of("objectives"))
def test_gradcheck_of_an_objective(name: str) -> None:
    objective, rest = make_objective(name), surroundings(name, 4, 3)

    def f(log_px: Tensor, log_pz: Tensor, log_qz: Tensor) -> Tensor:
        torch.manual_seed(0)  # a penalty may draw from the prior
        q = posterior_of(name, 3)
        group = Group(torch.zeros(4, 3, LATENT), log_pz, log_qz, STANDARD, q)
        return objective(Terms(log_px, {"z": group}, **rest))

    assert gradcheck(f, tuple(torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)))


@pytest.mark.parametrize("estimator", ["estimators.Reparameterized", "estimators.AnalyticKL"])
@pytest.mark.parametrize("name", ["recipes.vae", "recipes.vae_full_covariance", "recipes.linear_vae"])
def test_gradcheck_of_a_loss(name: str, estimator: str) -> None:
    """Where the gradient is that of the loss under fixed noise (not so for Path and Score), through a whole model."""
    recipe: Recipe = make(name)
    model, x = recipe.model.to(torch.float64), torch.rand(2, *IMAGE, dtype=torch.float64).round()
    names = [n for n, _ in model.named_parameters()]

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Tensor:
            torch.manual_seed(0)
            return make(estimator)(self.model, x, recipe.objective).loss

    def f(*values: Tensor) -> Tensor:
        return functional_call(Loss(), {f"model.{n}": v for n, v in zip(names, values, strict=True)}, ())

    assert gradcheck(f, tuple(p.detach().clone().requires_grad_() for p in model.parameters()), fast_mode=True)


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: DiscretizedLogistic(3 * a, b.exp(), levels=5).log_prob(torch.arange(5.0).double()),
        lambda a, b: DiscretizedLogistic(3 * a, b.exp(), levels=5).mean,
        lambda a, b: soft_clip(20 * a) * soft_clip(b, 2.0),
        lambda a, b: diagonal_normal(a, b.exp()).log_prob(torch.zeros(5).double()),
    ],
    ids=["DiscretizedLogistic.log_prob", "DiscretizedLogistic.mean", "soft_clip", "diagonal_normal"],
)
def test_gradcheck_of_a_distribution(f: Callable[[Tensor, Tensor], Tensor]) -> None:
    a, b = (
        torch.randn(5, dtype=torch.float64, requires_grad=True),
        torch.randn(5, dtype=torch.float64, requires_grad=True),
    )
    assert gradcheck(f, (a, b))


def half() -> AbstractContextManager[None]:
    """What training on CUDA enters for "bf16", on the CPU."""
    return products_alone(torch.autocast("cpu", dtype=torch.bfloat16))


NETWORKS = [  # those with one network; the steps of a flow have their own
    name for name in of("posteriors", "likelihoods") if hasattr(make(name), "net") and name != "posteriors.Flow"
]


@pytest.mark.parametrize("name", NETWORKS)
def test_densities_are_in_single_precision_whatever_the_network_is_in(name: str) -> None:
    """Under autocast, samples and log-densities are those in float32 of the same, rounded, outputs of the network."""
    part, x, outputs = make(name).eval(), inputs(name), []
    exact = part.net(x)
    part.net.register_forward_hook(lambda module, arguments, output: outputs.append(output))

    def drawn() -> tuple[Distribution, Tensor]:
        d = part(x)
        torch.manual_seed(1)
        return d, d.rsample((3,)) if d.has_rsample else d.sample((3,))

    with half():
        d, z = drawn()
        log_p = d.log_prob(z)
    assert z.dtype == log_p.dtype == outputs[0].dtype == torch.float32
    assert not torch.equal(outputs[0], exact), "nothing was rounded"
    part.net.forward = lambda x: outputs[0]
    expected, expected_z = drawn()
    assert torch.equal(log_p, expected.log_prob(z))
    torch.testing.assert_close(z, expected_z, rtol=0, atol=0.05 if "Full" in name else 0)  # Lε is a product


@pytest.mark.parametrize("name", of("recipes"))
def test_steps_of_half_precision_sum_in_single_precision(name: str) -> None:
    recipe = make(name)
    x = torch.rand(4, *IMAGE).round()
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    with half():
        terms = recipe.model.terms(x, 2, draw=draws.sample)
        loss, logs = step(x)
    loss.backward()
    found = [terms.log_px, loss, *logs.values(), *(t for g in terms.groups.values() for t in (g.z, g.log_pz, g.log_qz))]
    assert {t.dtype for t in (*found, *(p.grad for p in step.parameters() if p.grad is not None))} == {torch.float32}


@pytest.mark.parametrize(
    "flow",
    [
        lambda: zuko.flows.MAF(2, 4, transforms=2, hidden_features=(8,)),
        lambda: zuko.flows.NSF(2, 4, transforms=2, hidden_features=(8,)),
        lambda: Flow(MLP(4, [], 7), 2, [Planar(2, 3), Linear(2, 3), Autoregressive(2, 3), Sylvester(2, 3)], 3),
    ],
    ids=["MAF", "NSF", "Flow"],
)
def test_flows_of_half_precision_have_their_density(flow: Callable[[], nn.Module]) -> None:
    """log q of a sample, from noise to sample, is that of the way back, which rounded sums put apart."""
    model = VAE(StandardNormal(2), Gaussian(MLP(2, [8], 4)), flow())
    x = torch.randn(50, 4)
    with half():
        group = model.terms(x, 3).groups["z"]
        again = group.posterior.log_prob(group.z)
    assert group.log_qz.dtype == again.dtype == torch.float32
    torch.testing.assert_close(group.log_qz, again, rtol=0, atol=1e-3)
