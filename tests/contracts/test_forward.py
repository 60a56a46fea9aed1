"""Shapes: batch and event shapes of every part, and gradients that reach every parameter by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from elbox import DataSpec, Group, Recipe, Terms, draws, likelihoods
from elbox.distributions import Quantized, Tokens, diagonal_normal
from elbox.errors import IncompatibleError
from elbox.likelihoods.base import DEFAULTS
from elbox.nn import MLP, ConvDecoder
from elbox.spec import KINDS
from elbox.train.step import Step
from tests.components import FEATURES, IMAGE, LATENT, LEVELS, event_of, make, of, posterior_of, surroundings
from tests.components import objective as make_objective

K, B = 4, 3
WITHOUT_PARAMETERS = (
    "priors.StandardNormal",
    "priors.FittedMixture",
    "priors.LogisticNormal",
    "priors.SpikeSlab",
    "priors.Staged",
    "priors.AR1",
    "nn.Standardize",
    "nn.LogTotal",
    "nn.FiniteScalar",
    "priors.SphericalUniform",
    "priors.WrappedNormal",
    "priors.RiemannianNormal",
)
OF_ANOTHER = {"nn.Transposed": {"layer.affine.bias"}}  # parameters that only another user of the object needs
LATER = "prior.second."  # of `Staged`: trained after the model
STANDARD = diagonal_normal(torch.zeros(LATENT), torch.ones(LATENT))
DISCRETE = ("posteriors.BernoulliCode", "posteriors.CategoricalCode")
WITHOUT_MEAN = ("posteriors.Flow",)  # in closed form
CONSTANT = ("posteriors.LocalNormal",)  # its parameters are found in the forward pass, and are constants after it
RANDOM = ("nn.Bayesian", "nn.BayesianLinear", "priors.SecondStage")
OWN_DRAWS = ("posteriors.Auxiliary", "posteriors.Hamiltonian", "posteriors.RiemannianHamiltonian")  # scored alone
CODES = {"nn.Codebook": (3, 2), "nn.FiniteScalar": (3, 1), "nn.PixelCNN": (6, 2), "nn.CausalTransformer": (6, 2)}


def drawn(q: Distribution, samples: int) -> Tensor:
    """Samples, with a gradient where there can be one."""
    if isinstance(q, Quantized):
        return q.straight_through.expand(samples, *q.batch_shape, -1)
    return q.rsample((samples,)) if q.has_rsample else q.sample((samples,))


def inputs(name: str) -> Tensor:
    """A batch [B, ...] that the part accepts."""
    if name.startswith("recipes."):
        return torch.rand(B, *IMAGE).round()
    if name in CODES:
        return torch.randint(0, 4, (B, *CODES[name]))
    if name in ("nn.LogCounts", "nn.LogTotal"):
        return torch.randint(0, 9, (B, FEATURES)).float()
    decodes = name.startswith("likelihoods.") or name in ("nn.ConvDecoder", "nn.Transposed")
    other = {"nn.ConvEncoder": IMAGE, "nn.MapEncoder": IMAGE, "nn.MapDecoder": (18,), "nn.Summed": (2 * FEATURES,)}
    event = other.get(name, (LATENT,) if decodes else (FEATURES,))
    return torch.randn(B, *event)


@pytest.mark.parametrize("name", of("priors"))
def test_prior(name: str) -> None:
    p = make(name)()
    assert p.batch_shape == ()
    assert p.event_shape == (LATENT,)
    z = p.sample((K, B))
    assert z.shape == (K, B, LATENT)
    assert p.log_prob(z).shape == (K, B)


@pytest.mark.parametrize("name", of("posteriors"))
def test_posterior(name: str) -> None:
    q = make(name)(inputs(name))
    assert q.batch_shape == (B,)
    assert q.event_shape == (LATENT,)
    z = drawn(q, K)
    assert z.shape == (K, B, LATENT)
    if name in OWN_DRAWS:
        assert [t.shape for t in q.rsample_and_log_prob((K,))] == [(K, B, LATENT), (K, B)]
        assert [t.shape for t in q.rsample_and_log_prob()] == [(B, LATENT), (B,)]
        with pytest.raises(IncompatibleError, match=r"knows the density of its own draws alone; use Reparameterized"):
            q.log_prob(z)
    else:
        assert name in WITHOUT_MEAN or q.mean.shape == (B, LATENT)
        assert q.log_prob(z).shape == (K, B)
    assert z.requires_grad == (name not in (*DISCRETE, *CONSTANT))


@pytest.mark.parametrize("batch", [(), (B,), (K, B)])
@pytest.mark.parametrize("name", of("likelihoods"))
def test_likelihood(name: str, batch: tuple[int, ...]) -> None:
    p, event = make(name)(torch.randn(*batch, LATENT)), event_of(name)
    assert p.batch_shape == batch
    assert p.event_shape == event
    assert p.mean.shape == (*batch, *event)
    x = p.sample()
    assert x.shape == (*batch, *event)
    assert x.dtype == torch.float32
    assert p.log_prob(x).shape == batch
    assert p.log_prob(x).isfinite().all()


@pytest.mark.parametrize("name", of("likelihoods"))
def test_likelihood_of_one_batch_under_many_codes(name: str) -> None:
    """log p(x_b | z_kb): data [B, F] broadcast against codes [K, B, D], each as if it were alone, in evaluation."""
    part, z = make(name).eval(), torch.randn(K, B, LATENT)
    x = part(z[0]).sample()
    together = part(z).log_prob(x)
    assert together.shape == (K, B)
    alone = torch.stack([torch.stack([part(z[k, b]).log_prob(x[b]) for b in range(B)]) for k in range(K)])
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("event", [(FEATURES,), IMAGE, (3, 8, 8)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", likelihoods.__all__)
def test_likelihood_for_data(name: str, kind: str, event: tuple[int, ...]) -> None:
    """`output_shape` and `for_data` agree with each other; a kind that is not declared is refused."""
    cls = getattr(likelihoods, name)
    event = (2, *event[-2:]) if kind == "complex" else event
    spec = DataSpec(event, kind, levels=LEVELS if kind == "levels" else 0, offset=0.5, scale=0.5)
    if kind not in cls.kinds:
        with pytest.raises(IncompatibleError, match=f"{name} describes .* got {kind} data; use {DEFAULTS[kind]}"):
            cls.for_data(MLP(LATENT, [], 1), spec)
        return
    p = cls.for_data(MLP(LATENT, [], cls.output_shape(spec)), spec)(torch.randn(B, LATENT))
    x = torch.randint(0, 2, (B, *event)).float()
    x = x / 2 + 0.25 if kind in ("unit", "positive") else x
    assert p.event_shape == event
    assert p.log_prob(x).isfinite().all()
    if len(event) == 3:
        net = ConvDecoder(LATENT, cls.output_shape(spec), channels=(3,))
        assert cls.for_data(net, spec)(torch.randn(K, B, LATENT)).log_prob(x).shape == (K, B)


@pytest.mark.parametrize("name", [n for n in of("nn") if n not in RANDOM])
def test_net_takes_any_batch_shape(name: str) -> None:
    """Leading dimensions are batch: a batch of (2, B) is what its rows are one by one."""
    net, x = make(name), torch.stack([inputs(name), inputs(name)])
    together = net(x)
    assert together.shape[:2] == (2, B)
    torch.testing.assert_close(together, torch.stack([torch.stack([net(row) for row in half]) for half in x]))


@pytest.mark.parametrize("name", of("schedules"))
def test_schedule_keeps_the_shape_of_t(name: str) -> None:
    schedule = make(name)
    t = torch.rand(3, 2)
    assert schedule(t).shape == (3, 2)
    torch.testing.assert_close(schedule(t)[1, 1], schedule(t[1, 1]))


@pytest.mark.parametrize("name", of("objectives"))
def test_objective(name: str) -> None:
    objective = make_objective(name)
    z, q, p = torch.randn(K, B, LATENT), posterior_of(name, B), STANDARD
    group = Group(z, torch.randn(K, B), torch.randn(K, B), p, q)
    terms = Terms(torch.randn(K, B), {"z": group}, **surroundings(name, K, B))
    assert objective(terms).shape == (B,)
    assert objective(terms, torch.tensor(0.5)).shape == (B,)
    assert objective.path_scale(terms).shape == (K, B)
    assert objective.bound().bound().arguments == objective.bound().arguments
    assert type(objective.bound().bound()) is type(objective.bound())


def loss_of(name: str) -> tuple[nn.Module, Tensor]:
    """A module and a scalar through which every parameter should act."""
    part = make(name)
    if isinstance(part, Recipe):
        step = Step(part.model, part.objective, part.estimator)
        step.progress.fill_(1.0)  # after any warm-up
        return part.model, step(inputs(name))[0]
    if name.startswith("priors."):
        p = part()
        z = p.sample((K,)) if isinstance(p, Tokens) else torch.randn(K, LATENT)  # elsewhere these have no probability
        return part, p.log_prob(z).sum()
    if name.startswith("posteriors."):
        q = part(inputs(name))
        if name in OWN_DRAWS:
            z, log_q = q.rsample_and_log_prob((K,))
            return part, log_q.sum() + z.square().sum()
        return part, q.log_prob(torch.randn(K, B, LATENT)).nan_to_num(0, 0, 0).sum() + drawn(q, K).square().sum()
    if name.startswith("likelihoods."):
        p = part(inputs(name))
        return part, p.log_prob(p.sample()).sum()
    return part, part(inputs(name)).square().sum()


@pytest.mark.parametrize(
    "name",
    [
        n
        for n in of("priors", "posteriors", "likelihoods", "nn", "recipes")
        if n not in (*WITHOUT_PARAMETERS, *CONSTANT)
    ],
)
def test_gradients_reach_every_parameter(name: str) -> None:
    """With every weight away from 0; the recipes through the loss that training minimises."""
    module, loss = loss_of(name)
    loss.backward()
    for parameter, p in module.named_parameters():
        if parameter in OF_ANOTHER.get(name, ()) or parameter.startswith(LATER):
            continue
        assert p.grad is not None, parameter
        assert p.grad.isfinite().all(), parameter
        assert p.grad.abs().max() > 0, parameter


PARTLY = (
    "priors.Flow",  # weights that must not reach a later dimension
    "priors.ExemplarPrior",  # the posterior's mean alone
)


@pytest.mark.parametrize("name", [n for n in of("priors") if n not in (*WITHOUT_PARAMETERS, *PARTLY)])
def test_every_element_of_a_prior_is_learned(name: str) -> None:
    module, loss = loss_of(name)
    loss.backward()
    assert all((p.grad != 0).all() for p in module.parameters())


@pytest.mark.parametrize("name", of("recipes"))
def test_model_of_recipe(name: str) -> None:
    """terms, encode, decode, reconstruct, sample and log_prob have the documented shapes."""
    model, x = make(name).model, inputs(name)
    latent = LATENT if model.prior is None else model.prior().event_shape[0]
    terms = model.terms(x, samples=K, draw=draws.sample)
    assert terms.log_px.shape == terms.log_w.shape == (K, B)
    assert terms.elbo.shape == terms.rate.shape == terms.distortion.shape == (B,)
    assert terms.groups["z"].z.shape == (K, B, latent)
    assert model.encode(x).batch_shape == (B,)
    assert model.decode(torch.randn(2, B, latent)).event_shape == IMAGE
    assert model.reconstruct(x).shape == (B, *IMAGE)
    if model.prior is not None:
        assert model.sample(7).shape == model.sample(7, mean=True).shape == (7, *IMAGE)
    if not model.deterministic:
        assert model.log_prob(x, samples=3).shape == (B,)
        assert not model.log_prob(x, samples=3).requires_grad
