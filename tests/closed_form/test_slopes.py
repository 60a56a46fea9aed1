"""Norms of Jacobians, of codes and of weights, against closed forms and autograd's own Jacobians."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import zuko
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.distributions import Cauchy
from torch.func import functional_call

from elbox import VAE, IncompatibleError
from elbox.distributions import diagonal_normal
from elbox.errors import SettingError
from elbox.likelihoods import Bernoulli, FixedGaussian
from elbox.nn import MLP, ConvDecoder, ConvEncoder, Layer, Transposed
from elbox.objectives import CodeNorm, Contractive, DecoderSlope, Penalty, WeightNorm
from elbox.posteriors import Deterministic, DiagonalNormal, Factorized
from elbox.priors import Factorized as Prior
from elbox.priors import StandardNormal

B = 4


def autoencoder(encoder: nn.Module, decoder: nn.Module, latent: int = 2) -> VAE:
    return VAE(StandardNormal(latent), FixedGaussian(decoder), Deterministic(encoder, latent)).double()


def batch(features: int = 5) -> Tensor:
    return torch.randn(B, features, dtype=torch.float64)


@pytest.mark.parametrize("samples", [1, 3])
def test_slope_of_a_linear_decoder_is_its_matrix(samples: int) -> None:
    net, scale = MLP(2, [], 5), (1.0, 2.0, 3.0, 4.0, 5.0)
    posterior = DiagonalNormal(MLP(5, [], (2, 2)), 2)
    model = VAE(StandardNormal(2), FixedGaussian(net, offset=7.0, scale=scale), posterior).double()
    found = DecoderSlope(scale=2.0)(model.terms(batch(), samples))
    rows = torch.tensor(scale)[:, None] * net.net[0].weight
    torch.testing.assert_close(found, (rows.square().sum() / 4).expand(B))


def test_slope_of_a_linear_encoder_is_its_matrix() -> None:
    net = MLP(5, [], 2, offset=7.0, scale=4.0)
    found = Contractive(scale=2.0)(autoencoder(net, MLP(2, [], 5)).terms(batch()))
    torch.testing.assert_close(found, (net.net[0].weight.square().sum() * (2.0 / 4.0) ** 2).expand(B))


@pytest.mark.parametrize(("activation", "slope"), [(nn.Tanh, lambda h: 1 - h**2), (nn.Sigmoid, lambda h: h * (1 - h))])
def test_slope_of_a_layer(activation: type[nn.Module], slope: Callable[[Tensor], Tensor]) -> None:
    """Σ_j f'(h_j)² ‖W_j‖² (Rifai et al., 2011, for the sigmoid)."""
    layer, x = Layer(5, 3, activation), batch()
    found = Contractive()(autoencoder(layer, Transposed(layer), 3).terms(x))
    torch.testing.assert_close(found, slope(layer(x)).square() @ layer.affine.weight.square().sum(1))


def jacobians(f: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    return torch.stack([torch.autograd.functional.jacobian(f, row).square().sum() for row in at])


def test_slopes_of_deep_networks_against_autograd() -> None:
    x = torch.randn(B, 1, 9, 8, dtype=torch.float64)
    encoder, decoder = ConvEncoder((1, 9, 8), 2, channels=(3, 4)), ConvDecoder(2, (1, 9, 8), channels=(3, 4))
    for p in decoder.parameters():
        p.data.add_(0.2 * torch.randn_like(p))
    model = VAE(StandardNormal(2), Bernoulli(decoder), Deterministic(encoder, 2)).double()
    terms = model.terms(x)
    torch.testing.assert_close(Contractive()(terms), jacobians(lambda x: model.encode(x[None]).mean[0], x))
    torch.testing.assert_close(
        DecoderSlope()(terms), jacobians(lambda z: model.decode(z[None]).mean[0], terms.groups["z"].z[0].detach())
    )


def deep() -> VAE:
    return autoencoder(MLP(5, [6], 3, nn.Tanh), MLP(3, [6], 5, nn.Tanh), 3)


@pytest.mark.parametrize("penalty", [Contractive, DecoderSlope])
def test_probes_are_unbiased(penalty: type[Contractive] | type[DecoderSlope]) -> None:
    terms, n = deep().terms(batch()), 4000
    exact = penalty()(terms)
    each = torch.stack([penalty(probes=1)(terms) for _ in range(400)])
    distance = (each.mean(0) - exact).abs() / (each.std(0) / math.sqrt(len(each)))
    assert (each.std(0) > 0.01 * exact).all(), "an estimate that does not vary would prove nothing"
    assert (distance < 4).all()
    many = penalty(probes=n)(terms)
    assert ((many - exact).abs() < 4 * each.std(0) / math.sqrt(n)).all()


@pytest.mark.parametrize("penalty", [Contractive, DecoderSlope])
def test_one_probe_of_one_dimension_is_exact(penalty: type[Contractive] | type[DecoderSlope]) -> None:
    terms = autoencoder(MLP(5, [6], 1, nn.Tanh), MLP(1, [6], 5, nn.Tanh), 1).terms(batch())
    torch.testing.assert_close(penalty(probes=1)(terms), penalty()(terms))


class Mean(nn.Module):
    """The mean of a penalty as a function of the model's weights."""

    def __init__(self, model: VAE, penalty: Penalty, x: Tensor) -> None:
        super().__init__()
        self.model, self.penalty, self.x = model, penalty, x

    def forward(self) -> Tensor:
        torch.manual_seed(0)
        return self.penalty(self.model.terms(self.x)).mean()


@pytest.mark.parametrize("penalty", [Contractive(), Contractive(probes=2), DecoderSlope(), DecoderSlope(probes=2)])
def test_gradcheck_through_the_slope(penalty: Penalty) -> None:
    """Derivatives of derivatives, of every weight."""
    module = Mean(deep(), penalty, batch())
    names = [n for n, _ in module.named_parameters()]
    values = tuple(p.detach().clone().requires_grad_() for p in module.parameters())
    assert gradcheck(lambda *v: functional_call(module, dict(zip(names, v, strict=True)), ()), values)


def test_decoder_slope_moves_codes_too_and_contraction_the_encoder_alone() -> None:
    model = deep()
    terms = model.terms(batch())
    for penalty, parts in ((DecoderSlope(), {"likelihood", "posterior"}), (Contractive(), {"posterior"})):
        found = torch.autograd.grad(
            penalty(terms).sum(), list(model.parameters()), allow_unused=True, retain_graph=True
        )
        names = [n.split(".")[0] for n, _ in model.named_parameters()]
        assert {n for n, g in zip(names, found, strict=True) if g is not None and g.any()} == parts


def test_slopes_do_not_depend_on_the_unit_of_the_data() -> None:
    """Data in another unit, with networks that know it and the penalty's scale: the same numbers."""
    found = []
    for unit in (1.0, 255.0):
        torch.manual_seed(0)
        encoder, decoder = MLP(5, [6], 2, nn.Tanh, offset=0.0, scale=unit), MLP(2, [6], 5, nn.Tanh)
        model = VAE(StandardNormal(2), FixedGaussian(decoder, scale=unit), Deterministic(encoder, 2)).double()
        terms = model.terms(unit * torch.ones(B, 5, dtype=torch.float64))
        found.append([Contractive(scale=unit)(terms), DecoderSlope(scale=unit)(terms)])
    torch.testing.assert_close(found[0], found[1])


def test_contraction_needs_a_mean() -> None:
    flow = zuko.flows.MAF(2, 5, transforms=1, hidden_features=(4,))
    terms = VAE(StandardNormal(2), FixedGaussian(MLP(2, [], 5)), flow).terms(torch.zeros(3, 5))
    with pytest.raises(IncompatibleError, match=r"Contractive needs the mean of the posterior.*use a DiagonalNormal"):
        Contractive()(terms)
    cauchy = Factorized(MLP(5, [], (2, 2)), 2, Cauchy)  # whose mean would be NaN, of slope 0
    terms = VAE(Prior(2, Cauchy), FixedGaussian(MLP(2, [], 5)), cauchy).terms(torch.zeros(3, 5))
    with pytest.raises(IncompatibleError, match=r"Contractive needs the mean of the posterior, and Cauchy has none"):
        Contractive()(terms)


@pytest.mark.parametrize("penalty", [Contractive, DecoderSlope])
@pytest.mark.parametrize(("settings", "said"), [({"scale": 0.0}, "got scale=0.0"), ({"probes": 0}, "got probes=0")])
def test_bad_settings(penalty: type[Contractive], settings: dict[str, float], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        penalty(**settings)


def test_norm_of_codes_is_the_normal_density() -> None:
    """½‖z‖² = −log N(z; 0, I) − (D/2) log 2π."""
    terms = deep().terms(batch(), samples=2)
    p = diagonal_normal(torch.zeros(3).double(), torch.ones(3).double())
    right = -p.log_prob(terms.groups["z"].z).mean(0) - 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(CodeNorm()(terms), right)


def test_norm_of_weights_leaves_biases_alone() -> None:
    model = deep()
    net = model.likelihood.net
    for p in net.parameters():
        p.data.fill_(0.5)
    found = WeightNorm(net)(model.terms(batch()))
    assert found.item() == pytest.approx(0.25 * (3 * 6 + 6 * 5))
    gradients = torch.autograd.grad(found, list(net.parameters()), allow_unused=True)
    assert [g is None for g in gradients] == [p.dim() == 1 for p in net.parameters()]
