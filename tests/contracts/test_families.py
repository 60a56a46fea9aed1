"""Every family in a model: saved and loaded, compiled, recorded, evaluated, and in the documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch.distributions import Cauchy, Dirichlet, Distribution, Gamma, Normal, Pareto

import elbox
from elbox import ELBO, IWAE, VAE, Reparameterized, likelihoods
from elbox import Path as PathEstimator
from elbox.distributions import Triangular, Uniform, VonMises
from elbox.distributions.families import FAMILIES
from elbox.distributions.support import moves
from elbox.nn import MLP, Angles
from elbox.parts import from_tree, to_tree
from elbox.posteriors import Factorized
from elbox.priors import Factorized as Prior
from elbox.record import trace
from elbox.train.step import Step
from tests.contracts.test_compile import gradients
from tests.contracts.test_save import through_json

D, FEATURES = 3, 5
PRIORS = {Uniform: Normal, Triangular: Normal, Pareto: Gamma}
Family = type[Distribution]


def model(family: Family, *, learned: bool = True) -> VAE:
    torch.manual_seed(0)
    net = Angles(MLP(2 * D, [4], FEATURES)) if family is VonMises else MLP(D, [4], FEATURES)
    posterior = Factorized(MLP(FEATURES, [4], Factorized.output_shape(D, family)), D, family)
    return VAE(Prior(D, PRIORS.get(family, family), learned=learned), likelihoods.Bernoulli(net), posterior)


def batch() -> torch.Tensor:
    return torch.rand(4, FEATURES, generator=torch.Generator().manual_seed(1)).round()


def step(family: Family) -> Step:
    """IWAE with DReG, the estimator that asks most of a draw, wherever it may be used."""
    vae = model(family)
    return Step(vae, IWAE(3), Reparameterized() if moves(vae.encode(batch())) else PathEstimator())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_model_through_json(family: Family) -> None:
    old = model(family)
    new = through_json(old)
    new.load_state_dict(old.state_dict())
    assert new.posterior.family is new.prior.family or family in PRIORS
    losses = []
    for vae in (old, new):
        torch.manual_seed(1)
        losses.append(Reparameterized()(vae, batch(), ELBO()).loss)
    assert torch.equal(*losses)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_prior_keeps_its_values(family: Family) -> None:
    """Fixed or learned, from given values on, through JSON and another precision."""
    inside = {"loc": 0.5, "df": 4.0, "df2": 7.0, "alpha": 5.0}
    values = {name: inside.get(name, 1.5) for name in FAMILIES[family]}
    for learned in (False, True):
        prior = through_json(Prior(D, family, learned=learned, **values)).double()
        assert len(list(prior.parameters())) == (len(values) if learned else 0)
        base = getattr(prior(), "base_dist", prior())
        for name, value in values.items():
            found = getattr(base, name)
            torch.testing.assert_close(found, torch.full((D,), value).double(), rtol=1e-6, atol=0)


def test_prior_with_a_value_for_each_dimension() -> None:
    prior = from_tree(json.loads(json.dumps(to_tree(Prior(2, Gamma, concentration=(1.0, 3.0), rate=2.0)))))
    assert prior().mean.tolist() == [0.5, 1.5]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_posterior_and_prior_start_equal(family: Family) -> None:
    """A network output of 0 is the prior's start: no rate."""
    if family in PRIORS:
        return
    q = Factorized(torch.nn.Linear(1, 1), D, family)
    q.net.forward = lambda x: torch.zeros(len(x), *Factorized.output_shape(D, family))
    one, other = q(torch.zeros(4, 1)), Prior(D, family)()
    z = one.sample((5,))
    torch.testing.assert_close(one.log_prob(z), other.log_prob(z))


FIRST = (Gamma, Dirichlet, VonMises)  # the tracer takes seconds for each: the others where time does not matter
TRACED = [pytest.param(f, id=f.__name__, marks=() if f in FIRST else pytest.mark.slow) for f in FAMILIES]


@pytest.mark.parametrize("family", TRACED)
def test_traced_step_has_the_eager_gradient(family: Family) -> None:
    torch._dynamo.reset()
    one, x = step(family), batch()
    eager = gradients(one, one, x)
    compiled = gradients(torch.compile(one, fullgraph=True, backend="aot_eager"), one, x)
    assert set(eager) == set(compiled) == {n for n, _ in one.named_parameters()}
    for n in eager:
        torch.testing.assert_close(compiled[n], eager[n], rtol=1e-4, atol=1e-6, msg=lambda m, n=n: f"{n}: {m}")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_recorded_step_has_the_eager_gradient(family: Family) -> None:
    """As long runs are trained: forward and backward pass written down once, by running them."""
    one, x = step(family), batch()
    parameters = list(one.parameters())

    def gradient(x: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(one(x)[0], parameters))

    recorded = trace(gradient, parameters, [x])
    found = []
    for call in (lambda: gradient(x), lambda: recorded(*parameters, x)):
        torch.manual_seed(1)
        found.append(call())
    for eager, other in zip(*found, strict=True):
        torch.testing.assert_close(other, eager)


@pytest.mark.parametrize("family", [Gamma, Dirichlet, VonMises, Cauchy, Uniform], ids=lambda f: f.__name__)
def test_model_is_evaluated(family: Family) -> None:
    """Bounds, codes and reconstructions are finite, also where there is no mean (Cauchy)."""
    vae = model(family)
    found = elbox.evaluate(vae, batch(), samples=20)
    assert found.log_likelihood.mean > found.elbo.mean - 3
    assert vae.reconstruct(batch()).isfinite().all()
    assert elbox.encode(vae, batch()).isfinite().all()


def test_documentation_names_every_family() -> None:
    page = (Path(__file__).parents[2] / "docs" / "families.md").read_text(encoding="utf-8")
    named = {re.findall(r"`(\w+)`", line.split("|")[1])[-1 if "posterior" not in line else 1] for line in rows(page)}
    assert named == {f.__name__ for f in FAMILIES} | {"MultivariateStudentT"}


def rows(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("| `")]
