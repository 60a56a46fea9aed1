"""The path draw: the density is that of q and reaches q's weights through the sample alone; what `Path` gains by it."""

from __future__ import annotations

import pytest
import torch
import zuko
from torch import Tensor, nn
from torch.func import functional_call

from elbox import ELBO, IWAE, VAE, Path, Renyi, Reparameterized, draws
from elbox.objectives import Objective
from elbox.posteriors import Corrupted, DiagonalNormal
from tests.closed_form.linear import data, evidence, linear_gaussian
from tests.unbiased.exact import gradient
from tests.unbiased.models import FEATURES, POSTERIORS, batch, model, shaken


def dropping() -> nn.Module:
    """An encoder with dropout: the same call again is another distribution."""
    net = nn.Sequential(nn.Linear(FEATURES, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 4), nn.Unflatten(-1, (2, 2)))
    return DiagonalNormal(net, 2)


class Encoded(zuko.lazy.LazyDistribution):
    """A flow behind an encoder with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(FEATURES, 4), nn.Dropout(0.5))
        self.flow = zuko.flows.NICE(2, 4, transforms=2, hidden_features=(4,), activation=nn.Tanh)

    def forward(self, c: Tensor) -> torch.distributions.Distribution:
        return self.flow(self.encoder(c))


MADE = {n: lambda n=n: POSTERIORS[n](2) for n in POSTERIORS if n != "Coins"} | {
    "zuko.NSF": lambda: zuko.flows.NSF(2, FEATURES, transforms=2, hidden_features=(4,)),
    "zuko.RealNVP": lambda: zuko.flows.RealNVP(2, FEATURES, transforms=2, hidden_features=(4,)),
    "zuko.BPF": lambda: zuko.flows.BPF(2, FEATURES, transforms=1, hidden_features=(4,)),
    "zuko.CNF": lambda: zuko.flows.CNF(2, FEATURES, hidden_features=(4,)),
    "dropout": dropping,
    "dropout, flow": Encoded,
}


@pytest.mark.parametrize("name", MADE)
def test_density_is_that_of_the_posterior_that_was_sampled(name: str) -> None:
    draw = draws.path(shaken(MADE[name]()), batch(), 3)
    torch.testing.assert_close(draw.log_qz, draw.posterior.log_prob(draw.z))
    assert draw.z.shape == (3, 2, 2)


@pytest.mark.parametrize("name", MADE)
def test_density_carries_gradients_through_the_sample_alone(name: str) -> None:
    """∇_φ log q(z(φ)|x) at fixed weights in q, for each sample and example: ∂log q/∂z · ∂z/∂φ, by hand."""
    posterior = shaken(MADE[name]())
    z, log_qz, q = draws.path(posterior, batch(), 3)
    at = z.detach().requires_grad_()
    (slope,) = torch.autograd.grad(q.log_prob(at).sum(), at)
    weights = torch.rand(3, 2, dtype=torch.float64)  # every sample counts differently, as with importance weights
    parameters = list(posterior.parameters())
    expected = torch.autograd.grad(z, parameters, weights[..., None] * slope, retain_graph=True, allow_unused=True)
    found = torch.autograd.grad((weights * log_qz).sum(), parameters, allow_unused=True, materialize_grads=True)
    for e, f in zip(expected, found, strict=True):
        torch.testing.assert_close(f, torch.zeros_like(f) if e is None else e)


@pytest.mark.parametrize("name", ["DiagonalNormal", "FullNormal", "zuko.MAF", "zuko.NSF"])
def test_differentiable_context_stays_differentiable(name: str) -> None:
    """A context from above carries its own gradient through log q, while the weights of q do not."""
    posterior, x, noise = shaken(MADE[name]()), batch().requires_grad_(), torch.Generator().get_state()
    torch.set_rng_state(noise)
    z, log_qz, _ = draws.path(posterior, x, 3)
    torch.set_rng_state(noise)
    constant = {n: p.detach() for n, p in posterior.named_parameters()}
    again = functional_call(posterior, constant, (x,)).rsample((3,))
    torch.testing.assert_close(again, z)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.posterior = posterior

        def forward(self, c: Tensor, z: Tensor) -> Tensor:
            return self.posterior(c).log_prob(z)

    names = {f"posterior.{n}": p for n, p in constant.items()}
    expected = torch.autograd.grad(functional_call(Whole(), names, (x, again)).sum(), x)
    torch.testing.assert_close(torch.autograd.grad(log_qz.sum(), x, retain_graph=True), expected)
    slope = torch.autograd.grad(log_qz.sum(), z, retain_graph=True)[0]
    parameters = list(posterior.parameters())
    along = torch.autograd.grad(z, parameters, slope, retain_graph=True, allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(
        torch.autograd.grad(log_qz.sum(), parameters, allow_unused=True, materialize_grads=True), along
    )


@pytest.mark.parametrize("name", MADE)
def test_without_gradients_nothing_breaks(name: str) -> None:
    with torch.no_grad():
        assert not draws.path(shaken(MADE[name]()), batch(), 3).log_qz.requires_grad


@pytest.mark.parametrize(
    "objective", [ELBO(samples=3), IWAE(3), Renyi(0.5, 3), ELBO(beta=0.5)], ids=lambda o: str(o.arguments)
)
@pytest.mark.parametrize("name", ["DiagonalNormal", "FullNormal", "zuko.MAF", "Corrupted(zuko.MAF)"])
def test_value_is_that_of_reparameterized_on_the_same_noise(name: str, objective: Objective) -> None:
    vae, found = model(name, "NormalMixture"), []
    for estimator in (Path(), Reparameterized()):
        torch.manual_seed(2)
        found.append(estimator(vae, batch(), objective).objective)
    torch.testing.assert_close(*found)


def posterior_gradients(vae: VAE, x: Tensor, objective: Objective, estimator: Path | Reparameterized, n: int) -> Tensor:
    """n draws of the posterior's gradient, [n, P]."""
    found = []
    for seed in range(n):
        torch.manual_seed(seed)
        g = gradient(vae, estimator(vae, x, objective).loss)
        found.append(torch.cat([t.flatten() for name, t in g.items() if name.startswith("posterior")]))
    return torch.stack(found)


@pytest.mark.parametrize("objective", [ELBO(), ELBO(samples=4), IWAE(4), Renyi(0.5, 4)], ids=lambda o: str(o.arguments))
def test_path_has_no_variance_at_the_true_posterior(objective: Objective) -> None:
    """Roeder et al. (2017): sticking the landing. The plain estimator of the same gradient, which is 0, does vary."""
    vae, x = linear_gaussian("full"), data(6)
    assert posterior_gradients(vae, x, objective, Path(), 5).abs().max() < 1e-10
    assert posterior_gradients(vae, x, objective, Reparameterized(), 5).std(0).max() > 0.1
    torch.testing.assert_close(Path()(vae, x, objective).loss, -evidence(vae, x).mean())


def test_path_is_sticking_the_landing_for_the_elbo() -> None:
    """Path's gradient is that of log p(x, z) − log q_stop(z|x), written out, on the same noise."""
    vae, x = model("FullNormal", "NormalMixture"), batch()
    torch.manual_seed(2)
    found = gradient(vae, Path()(vae, x, ELBO(samples=3)).loss)
    torch.manual_seed(2)
    q = vae.posterior(x)
    z = q.rsample((3,))
    stopped = torch.distributions.MultivariateNormal(q.loc.detach(), scale_tril=q.scale_tril.detach())
    bound = vae.likelihood(z).log_prob(x) + vae.prior().log_prob(z) - stopped.log_prob(z)
    torch.testing.assert_close(found, gradient(vae, -bound.mean()))


def test_path_is_dreg_for_iwae() -> None:
    """Tucker et al. (2019), eq. 8: Σ_k ŵ_k² ∂log w_k/∂z_k ∂z_k/∂φ, and Σ_k ŵ_k ∇ log p(x, z_k) for the model."""
    vae, x = model("DiagonalNormal", "LearnedNormal"), batch()
    torch.manual_seed(2)
    found = gradient(vae, Path()(vae, x, IWAE(5)).loss)
    torch.manual_seed(2)
    q = vae.posterior(x)
    z = q.rsample((5,))
    at = z.detach().requires_grad_()
    log_p = vae.likelihood(at).log_prob(x) + vae.prior().log_prob(at)
    log_w = log_p - vae.posterior(x).log_prob(at)
    w = torch.softmax(log_w, 0).detach()
    (slope,) = torch.autograd.grad((w.square() * log_w).sum(), at, retain_graph=True)
    of_posterior = gradient(vae, -(slope * z).sum() / len(x))
    of_model = gradient(vae, -(w * log_p).sum() / len(x))
    expected = {n: of_posterior[n] if n.startswith("posterior") else of_model[n] for n in found}
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("samples", [2, 8, 32])
@pytest.mark.parametrize("objective", [IWAE, lambda k: Renyi(0.5, k)], ids=["iwae", "renyi"])
def test_dreg_varies_less_than_the_plain_gradient(objective: type[Objective], samples: int) -> None:
    """Total variance over 150 draws; far less for more samples."""
    vae, x = linear_gaussian("diagonal", exact=False, off=0.02), data(6)
    plain = posterior_gradients(vae, x, objective(samples), Reparameterized(), 150).var(0).sum()
    path = posterior_gradients(vae, x, objective(samples), Path(), 150).var(0).sum()
    assert path < 0.5 * plain


def test_signal_to_noise_of_dreg_does_not_fall_with_the_samples() -> None:
    """Rainforth et al. (2018): the plain gradient's falls as 1/√K; Tucker et al. (2019), figure 1: DReG's rises."""
    vae, x = linear_gaussian("diagonal", exact=False, off=0.02), data(6)
    ratio = {}
    for how in (Reparameterized(), Path()):
        for k in (2, 64):
            g = posterior_gradients(vae, x, IWAE(k), how, 200)
            ratio[type(how).__name__, k] = (g.mean(0).norm() / g.var(0).sum().sqrt()).item()
    assert ratio["Path", 64] > ratio["Path", 2]
    assert ratio["Path", 64] > 3 * ratio["Reparameterized", 64]


def test_corruption_is_the_same_for_sample_and_density() -> None:
    """q(z|x̃) is sampled and scored under one and the same x̃, also when its weights are held fixed."""
    inner = shaken(zuko.flows.MAF(2, FEATURES, transforms=1, hidden_features=(4,)))
    posterior = Corrupted(inner, masking=0.5, noise=3.0)
    draw = draws.path(posterior, batch(), 100)
    torch.testing.assert_close(draw.log_qz, draw.posterior.log_prob(draw.z))
