"""Flows and mixtures of zuko are posteriors and priors as they stand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
import zuko
from torch import Tensor, nn
from torch.distributions import Distribution

import elbox
from elbox import ELBO, IWAE, VAE, AnalyticKL, IncompatibleError, Path, Renyi, Reparameterized, Score
from elbox.likelihoods import FixedGaussian, Gaussian
from elbox.nn import MLP
from elbox.parts import from_tree, to_tree
from elbox.posteriors import DiagonalNormal
from elbox.priors import StandardNormal
from elbox.train.step import Step

B, F, D, C = 5, 4, 2, 3
POSTERIORS = {
    "MAF": lambda: zuko.flows.MAF(D, F, transforms=2, hidden_features=(8,)),
    "NSF": lambda: zuko.flows.NSF(D, F, transforms=1, hidden_features=(8,)),
    "RealNVP": lambda: zuko.flows.RealNVP(D, F, transforms=2, hidden_features=(8,)),
}
PRIORS = {
    "MAF": lambda: zuko.flows.MAF(D, transforms=2, hidden_features=(8,)),
    "NSF": lambda: zuko.flows.NSF(D, transforms=1, hidden_features=(8,)),
    "GMM": lambda: zuko.mixtures.GMM(D, components=3),
    "StandardNormal": lambda: StandardNormal(D),
}


def vae(posterior: str, prior: str) -> VAE:
    return VAE(PRIORS[prior](), Gaussian(MLP(D, [8], F)), POSTERIORS[posterior]())


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_every_verb_works(posterior: str, prior: str) -> None:
    model, x = vae(posterior, prior), torch.randn(B, F)
    terms = model.terms(x, samples=3)
    assert terms.log_w.shape == (3, B)
    assert terms.log_w.isfinite().all()
    torch.testing.assert_close(
        terms.groups["z"].log_qz, model.encode(x).log_prob(terms.groups["z"].z), rtol=1e-4, atol=1e-4
    )
    assert model.log_prob(x, samples=20).shape == (B,)
    assert model.sample(7).shape == (7, F)
    assert model.reconstruct(x).shape == (B, F)


@pytest.mark.parametrize("objective", [ELBO(samples=2), IWAE(3), Renyi(0.5, 3)], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("estimator", [Reparameterized(), Path(), Score()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_training_step(posterior: str, estimator: Reparameterized, objective: ELBO) -> None:
    """Every parameter of flow prior, flow posterior and likelihood gets a gradient, and steps reduce the loss."""
    model, x = vae(posterior, "MAF"), torch.randn(64, F) @ torch.randn(F, F)
    step, optimizer = Step(model, objective, estimator), torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss, _ = step(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert sum(losses[-5:]) < sum(losses[:5])


def test_no_closed_form_kl_is_said() -> None:
    with pytest.raises(
        IncompatibleError, match=r"AnalyticKL needs a closed-form KL.*\(NormalizingFlow, Independent\).*use Rep"
    ):
        AnalyticKL()(vae("MAF", "StandardNormal"), torch.randn(B, F), ELBO())


def test_posterior_flow_depends_on_x() -> None:
    """The context reaches log q: with one z, other densities for other x."""
    q = vae("MAF", "GMM").encode(torch.randn(B, F))
    densities = q.log_prob(torch.zeros(B, D))
    assert densities.unique().numel() == B


class Given(zuko.lazy.LazyDistribution):
    """A flow given x and a condition c, as one context."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, c: Any = None) -> Distribution:
        return self.flow(torch.cat(c, -1))


FLOWS = {
    "MAF": lambda d, context: zuko.flows.MAF(d, context, transforms=2, hidden_features=(8,)),
    "NSF": lambda d, context: zuko.flows.NSF(d, context, transforms=2, hidden_features=(8,)),
    "RealNVP": lambda d, context: zuko.flows.RealNVP(d, context, transforms=2, hidden_features=(8,)),
}
BENT = [("MAF", 1), ("NSF", 1), ("MAF", 2), ("NSF", 2), ("RealNVP", 2)]  # with the number of dimensions


def conditional(name: str, d: int) -> tuple[VAE, Tensor, Tensor]:
    """Flows as q(z|x, c) and p(z|c), away from the identity, in double precision; x and c."""
    likelihood = Gaussian(MLP(d, [8], F, context=C))
    model = VAE(FLOWS[name](d, C), likelihood, Given(FLOWS[name](d, F + C))).double()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return model, torch.randn(B, F).double(), torch.randn(B, C).double()


@pytest.mark.parametrize(("name", "d"), BENT)
def test_densities_of_flows_are_those_of_their_samples(name: str, d: int) -> None:
    """log q(z|x) and log p(z|c) of samples: that of the noise, less log |det ∂z/∂noise| by autograd."""
    model, x, c = conditional(name, d)
    group = model.terms(x, 7, c=c).groups["z"]
    for flow, log_density in ((group.posterior, group.log_qz), (group.prior, group.log_pz)):
        noise = flow.transform(group.z).detach().requires_grad_()
        z = flow.transform.inv(noise)
        torch.testing.assert_close(z, group.z, rtol=1e-6, atol=1e-6)
        rows = [torch.autograd.grad(z[..., i].sum(), noise, retain_graph=True)[0] for i in range(d)]
        volume = torch.linalg.slogdet(torch.stack(rows, -2)).logabsdet
        assert volume.std() > 0.01
        torch.testing.assert_close(log_density, flow.base.log_prob(noise) - volume, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "d"), BENT)
def test_densities_of_flows_integrate_to_one(name: str, d: int) -> None:
    """Given each of several x and c, over the line or the plane, as far as samples go."""
    model, x, c = conditional(name, d)
    with torch.no_grad():
        for flow in (model.encode(x, c=c), model.prior(c)):
            samples = flow.sample((4000,)).flatten(0, 1)
            ends = zip(samples.amin(0) - 2, samples.amax(0) + 2, strict=True)
            axes = [torch.linspace(low, high, 3001 if d == 1 else 161).double() for low, high in ends]
            z = torch.cartesian_prod(*axes).reshape(-1, 1, d).expand(-1, B, d)
            density = flow.log_prob(z).exp()
            total = density.sum(0) * math.prod((axis[1] - axis[0]).item() for axis in axes)
            torch.testing.assert_close(total, torch.ones(B).double(), rtol=0, atol=5e-3)
            assert (density.diff(dim=1).abs().amax(0) > 1e-3).all(), "given another x and c it is another density"


class Banana(nn.Module):
    """z ↦ (z₁, z₂ − z₁²): the posterior given x₂ alone is bent."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([0.3 * z[..., 0], 2 * (z[..., 1] - z[..., 0].square())], -1)


def test_flow_tightens_the_bound_on_a_bent_posterior() -> None:
    """p(z|x) is a banana; trained alike, a flow comes much closer to the evidence than a diagonal normal."""
    x = torch.tensor([[0.0, 0.0]])
    torch.manual_seed(0)
    bounds = {}
    flow = zuko.flows.NSF(D, 2, transforms=1, hidden_features=(16,))
    for name, posterior in {"flow": flow, "normal": DiagonalNormal(MLP(2, [], (2, D)), D)}.items():
        model = VAE(StandardNormal(D), FixedGaussian(Banana(), sigma=0.3), posterior)
        optimizer = torch.optim.Adam(posterior.parameters(), 2e-2)
        for _ in range(250):
            loss = Path()(model, x, ELBO(samples=64)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            bounds[name] = model.terms(x, samples=20_000).elbo.item()
    axis = torch.linspace(-6, 12, 901)
    z = torch.cartesian_prod(axis, axis)
    evidence = (model.likelihood(z).log_prob(x[0]) + model.prior().log_prob(z)).exp().sum().mul(0.02**2).log().item()
    assert bounds["normal"] < evidence - 0.3
    assert evidence - 0.1 < bounds["flow"] < evidence + 0.02


def test_saved_part_by_part_once_its_user_makes_it_a_part() -> None:
    """elbox saves what it knows; a class from elsewhere is decorated by its user, and allowed when loading."""

    @elbox.part
    class Flow(zuko.flows.NSF):
        pass

    model = VAE(StandardNormal(D), Gaussian(MLP(D, [8], F)), Flow(D, F, transforms=1, hidden_features=(8,)))
    loaded = from_tree(json.loads(json.dumps(to_tree(model))), allow=[Flow])
    loaded.load_state_dict(model.state_dict())
    x, found = torch.randn(B, F), []
    for m in (model, loaded):
        torch.manual_seed(1)
        found.append(m.log_prob(x, samples=3))
    assert torch.equal(*found)
