"""A component becomes JSON and comes back the same; nothing outside an allow-list is ever made from a file."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import zuko
from torch import nn

import elbox
from elbox import VAE, likelihoods, posteriors, priors, schedules
from elbox.distributions import Tokens
from elbox.errors import RunError
from elbox.nn import MLP
from elbox.parts import PARTS, from_tree, name_of, part, to_tree
from tests.components import COMPONENTS, LATENT, decoder, encoder, make, of
from tests.contracts.test_forward import drawn, inputs

SAVED = [n for n in COMPONENTS if n.split(".")[0] not in ("distributions", "recipes") and n != "nn.Standardize"]


def through_json(value: Any, allow: tuple[type, ...] = ()) -> Any:
    return from_tree(json.loads(json.dumps(to_tree(value))), allow)


def outputs(part: Any, name: str) -> torch.Tensor:
    """Something random that depends on all that the part computes."""
    torch.manual_seed(1)
    axis = name.split(".")[0]
    if axis == "priors":
        z = part().sample((7,)) if isinstance(part(), Tokens) else torch.randn(7, LATENT)
        return part().log_prob(z) + part().sample((7,)).sum(-1)
    if axis == "posteriors":
        return drawn(part(inputs(name)), 5)
    if axis == "likelihoods":
        x = part(inputs(name)).sample()
        return part(inputs(name)).log_prob(x)
    return part(inputs(name))


@pytest.mark.parametrize("name", SAVED)
def test_through_json(name: str) -> None:
    """Constructor arguments as JSON, weights as a state dictionary: the same class, the same outputs to the bit."""
    old = make(name)
    new = through_json(old)
    for one in (old, new) if name.startswith("priors.") else ():
        one.eval()  # in training a prior may look at data that are not saved
    assert type(new) is type(old)
    assert to_tree(new) == to_tree(old)
    if isinstance(old, nn.Module):
        assert new.state_dict().keys() == old.state_dict().keys()
    if name.split(".")[0] in ("priors", "posteriors", "likelihoods", "nn"):
        new.load_state_dict(old.state_dict())
        assert torch.equal(outputs(new, name), outputs(old, name))


@pytest.mark.parametrize("name", of("schedules"))
def test_saved_schedule_has_the_same_values(name: str) -> None:
    t = torch.linspace(0, 1, 11)
    assert torch.equal(through_json(make(name))(t), make(name)(t))


@pytest.mark.parametrize("name", of("recipes"))
def test_model_through_json(name: str) -> None:
    """A whole model part by part, without the recipe that made it."""
    recipe = make(name)
    model, objective, estimator = through_json([recipe.model, recipe.objective, recipe.estimator])
    model.load_state_dict(recipe.model.state_dict())
    if isinstance(objective, nn.Module):  # with players of its own
        objective.load_state_dict(recipe.objective.state_dict())
    x = inputs(name)
    losses = []
    for m, o, e in ((model, objective, estimator), (recipe.model, recipe.objective, recipe.estimator)):
        torch.manual_seed(1)
        losses.append(e(m, x, o).loss)
    assert torch.equal(*losses)


def test_state_dict_holds_weights_only() -> None:
    """Offsets and scales are constructor arguments: they are saved once, in the JSON."""
    recipe = elbox.recipes.conv_vae(elbox.DataSpec((1, 8, 8), "levels", levels=17, offset=4.0, scale=6.0), latent=2)
    assert set(recipe.model.state_dict()) == {n for n, _ in recipe.model.named_parameters()}


def test_object_in_two_places_stays_one_object() -> None:
    shared = schedules.Linear(over=0.5)
    objective = through_json([elbox.ELBO(beta=shared), elbox.ELBO(beta=shared)])
    assert objective[0].beta is objective[1].beta


@part
class Shifted(nn.Module):
    """A user's own posterior."""

    def __init__(self, posterior: nn.Module, by: float = 0.0, **more: float) -> None:
        super().__init__()
        self.posterior, self.by, self.more = posterior, by, more

    def forward(self, c: Any = None) -> Any:
        return self.posterior(c + self.by)


def test_class_of_the_user_needs_permission() -> None:
    model = VAE(
        priors.StandardNormal(LATENT),
        likelihoods.Poisson(decoder(5)),
        Shifted(posteriors.FullNormal(encoder(4, LATENT), LATENT), by=2.0, other=3.0),
    )
    with pytest.raises(RunError, match=r"got the class '.*Shifted'.*expected a part of elbox.*allow"):
        through_json(model)
    loaded = through_json(model, allow=(Shifted,)).posterior
    assert (loaded.by, loaded.more) == (2.0, {"other": 3.0})


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "torch.nn.modules.linear.Linear", "elbox.parts.part", "elbox.runs.load_run", None],
)
@pytest.mark.parametrize("key", ["part", "class", "activation"])
def test_nothing_else_is_made_from_a_file(key: str, name: str | None) -> None:
    with pytest.raises(RunError, match="expected a part of elbox"):
        from_tree({key: name, "id": 0, "arguments": {"command": "true"}})


def test_arguments_without_a_name_are_refused() -> None:
    @part
    class Chain(nn.Sequential):
        pass

    with pytest.raises(RunError, match=r"got 2 arguments in \*args of a part; expected each by its name"):
        Chain(nn.Linear(2, 2), nn.ReLU())


def test_what_is_not_a_part_is_not_saved() -> None:
    model = VAE(
        priors.StandardNormal(2), likelihoods.Bernoulli(nn.Linear(2, 5)), posteriors.FullNormal(MLP(5, [], (4, 2)), 2)
    )
    with pytest.raises(RunError, match=r"got a torch.nn.modules.linear.Linear.*decorate its class with @elbox.part"):
        to_tree(model)


def test_subclass_is_not_mistaken_for_its_base() -> None:
    class Mine(priors.StandardNormal):
        pass

    with pytest.raises(RunError, match="Mine"):
        to_tree(Mine(2))


def test_class_from_elsewhere_becomes_a_part_when_its_user_says_so() -> None:
    """zuko's flows take **kwargs; they are saved once decorated, and loaded only where allowed."""

    @part
    class Flow(zuko.flows.MAF):
        pass

    flow = Flow(2, context=3, transforms=1, hidden_features=[4], activation=nn.Tanh)
    loaded = through_json(flow, allow=(Flow,))
    loaded.load_state_dict(flow.state_dict())
    c, z = torch.randn(6, 3), torch.randn(6, 2)
    assert torch.equal(loaded(c).log_prob(z), flow(c).log_prob(z))
    assert name_of(Flow) not in PARTS
