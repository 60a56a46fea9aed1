"""The discretised logistic distribution, its mixtures, and PixelCNN++'s dependence between colours."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from elbox import DataSpec, likelihoods, recipes
from elbox.distributions import DiscretizedLogistic, RGBLogisticMixture
from elbox.train.step import Step
from tests.closed_form.test_likelihoods import Put

LOCATIONS = st.floats(-1e5, 1e5)
SCALES = st.floats(-12, 12).map(math.exp)
LEVELS = st.integers(2, 256)


@settings(max_examples=150, deadline=None)
@given(loc=LOCATIONS, scale=SCALES, levels=LEVELS)
def test_levels_sum_to_one(loc: float, scale: float, levels: int) -> None:
    """To 1e-6, for scales from e^{−12} to e^{12}, locations far outside, and every number of levels."""
    d = DiscretizedLogistic(torch.tensor(loc, dtype=torch.float64), torch.tensor(scale, dtype=torch.float64), levels)
    assert d.log_prob(torch.arange(levels).double()).exp().sum().item() == pytest.approx(1, abs=1e-9)
    single = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale), levels)
    assert single.log_prob(torch.arange(levels)).double().exp().sum().item() == pytest.approx(1, abs=1e-6 * levels**0.5)


@pytest.mark.parametrize("loc", [-300.0, -0.5, 0.0, 3.0, 127.5, 128.0, 254.9, 255.0, 600.0])
@pytest.mark.parametrize("scale", [1e-8, 1e-4, 0.1, 1.0, 3.0, 40.0, 1e4])
def test_bytes_sum_to_one_in_single_precision(loc: float, scale: float) -> None:
    d = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale), 256)
    assert d.log_prob(torch.arange(256)).double().exp().sum().item() == pytest.approx(1, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(loc=LOCATIONS, scale=SCALES, levels=LEVELS, data=st.data())
def test_every_level_has_a_finite_log_probability_and_gradient(
    loc: float, scale: float, levels: int, data: st.DataObject
) -> None:
    mu, s = torch.tensor(loc, requires_grad=True), torch.tensor(scale, requires_grad=True)
    k = torch.tensor(float(data.draw(st.integers(0, levels - 1))))
    log_p = DiscretizedLogistic(mu, s, levels).log_prob(k)
    log_p.backward()
    assert log_p.isfinite()
    assert log_p <= 1e-6
    assert mu.grad.isfinite()
    assert s.grad.isfinite()


def test_probability_is_the_difference_of_the_cumulative_distribution() -> None:
    """Where nothing cancels: σ((k + ½ − μ)/s) − σ((k − ½ − μ)/s), with open edge bins."""
    mu, s, k = torch.tensor(3.3, dtype=torch.float64), torch.tensor(1.7, dtype=torch.float64), torch.arange(8).double()
    upper, lower = torch.sigmoid((k + 0.5 - mu) / s), torch.sigmoid((k - 0.5 - mu) / s)
    upper[-1], lower[0] = 1, 0
    torch.testing.assert_close(DiscretizedLogistic(mu, s, 8).log_prob(k).exp(), upper - lower)


def test_far_tail_is_exact() -> None:
    """Where the difference of two sigmoids is 0 in double precision: log P(k) → (μ − k)/s + log(2 sinh(1/2s))."""
    mu, s, k = (
        torch.tensor(0.0, dtype=torch.float64),
        torch.tensor(0.5, dtype=torch.float64),
        torch.tensor(100.0, dtype=torch.float64),
    )
    log_p = DiscretizedLogistic(mu, s, 256).log_prob(k).item()
    assert log_p == pytest.approx(-200 + math.log(2 * math.sinh(1)), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(loc=st.floats(-20, 40), scale=st.floats(0.01, 20), levels=st.integers(2, 40))
def test_mean_is_the_sum(loc: float, scale: float, levels: int) -> None:
    d = DiscretizedLogistic(torch.tensor(loc, dtype=torch.float64), torch.tensor(scale, dtype=torch.float64), levels)
    k = torch.arange(levels).double()
    torch.testing.assert_close(d.mean, (k * d.log_prob(k).exp()).sum())


@pytest.mark.parametrize(("loc", "scale"), [(3.0, 0.8), (-1.0, 2.0), (7.2, 0.1), (2.5, 30.0)])
def test_samples_follow_the_probabilities(loc: float, scale: float) -> None:
    """Frequencies of 100 000 samples within 4 standard errors of each probability."""
    d, n = DiscretizedLogistic(torch.tensor(loc), torch.tensor(scale), 7), 100_000
    p = d.log_prob(torch.arange(7)).exp()
    frequency = torch.bincount(d.sample((n,)).long(), minlength=7) / n
    assert ((frequency - p).abs() <= 4 * (p * (1 - p) / n).sqrt() + 1e-6).all()


def test_two_levels_are_a_bernoulli() -> None:
    d = DiscretizedLogistic(torch.tensor(0.9), torch.tensor(0.4), 2)
    b = torch.distributions.Bernoulli(logits=torch.tensor((0.9 - 0.5) / 0.4))
    k = torch.tensor([0.0, 1.0])
    torch.testing.assert_close(d.log_prob(k), b.log_prob(k))


# ── mixtures ────────────────────────────────────────────────────────────────────────────────────────────────────────


def pixel(levels: int, components: int = 2, spread: float = 1.0) -> RGBLogisticMixture:
    """One RGB pixel with parameters at random, in the middle of its levels."""
    draw = lambda *shape: torch.randn(*shape, components, 1, 1, dtype=torch.float64)  # noqa: E731
    loc = levels / 2 + levels / 5 * draw(3)
    centre = torch.tensor(levels / 2, dtype=torch.float64)
    return RGBLogisticMixture(draw(), loc, spread * (0.3 * draw(3)).exp(), draw(3).tanh(), centre, levels)


def colours(levels: int) -> Tensor:
    """All of them, [L³, 3, 1, 1]."""
    axis = torch.arange(float(levels), dtype=torch.float64)
    return torch.cartesian_prod(axis, axis, axis)[:, :, None, None]


@pytest.mark.parametrize("spread", [1e-3, 0.5, 3.0, 100.0])
@pytest.mark.parametrize("levels", [2, 5, 17])
def test_colours_of_a_pixel_add_up_to_one(levels: int, spread: float) -> None:
    """Over all L³ of them, jointly, whatever depends on what."""
    p = pixel(levels, spread=spread)
    assert p.log_prob(colours(levels)).exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_samples_of_colours_follow_their_probabilities(seed: int) -> None:
    """Frequencies of the 27 colours in 100 000 samples within 4.5 standard errors."""
    torch.manual_seed(seed)
    p, n = pixel(3, spread=0.5), 100_000
    number = (p.sample((n,)).reshape(n, 3) * torch.tensor([9.0, 3.0, 1.0])).sum(-1).long()
    probability = p.log_prob(colours(3)).exp()
    frequency = torch.bincount(number, minlength=27) / n
    assert ((frequency - probability).abs() <= 4.5 * (probability * (1 - probability) / n).sqrt() + 1e-6).all()


def test_colours_by_the_formula_of_the_reference_implementation() -> None:
    """With levels on the scale of −1 to 1, as in openai/pixel-cnn: a mixture of Π σ(plus) − σ(minus), off the edges.

    There the coefficients multiply the scaled colour, which is 0 in the middle of the levels: our centre.
    """
    p = pixel(256, components=5, spread=12.0)
    p.centre = torch.full_like(p.centre, 127.5)
    x = torch.tensor([120.0, 140.0, 101.0], dtype=torch.float64)
    scaled, loc, scale = x / 127.5 - 1, p.loc.squeeze() / 127.5 - 1, p.scale.squeeze() / 127.5
    a = p.coefficients.squeeze()
    means = (loc[0], loc[1] + a[0] * scaled[0], loc[2] + a[1] * scaled[0] + a[2] * scaled[1])
    each = sum(
        (torch.sigmoid((scaled[c] - means[c] + 1 / 255) / scale[c])
         - torch.sigmoid((scaled[c] - means[c] - 1 / 255) / scale[c])).log()
        for c in range(3)
    )  # fmt: skip
    expected = torch.logsumexp(each + torch.log_softmax(p.logits.squeeze(), 0), 0)
    torch.testing.assert_close(p.log_prob(x[:, None, None]), expected)


def test_mean_of_colours() -> None:
    """Exact for red, and for all where no colour depends on another; else within a tenth of a level, off the ends."""
    p = pixel(9, spread=0.8)
    p.loc = p.loc.clamp(3.0, 5.0)
    x, w = colours(9), p.log_prob(colours(9)).exp()[:, None, None, None]
    exact = (x * w).sum(0)
    torch.testing.assert_close(p.mean[0], exact[0])
    torch.testing.assert_close(p.mean, exact, atol=0.1, rtol=0)
    p.coefficients = torch.zeros_like(p.coefficients)
    torch.testing.assert_close(p.mean, (x * p.log_prob(x).exp()[:, None, None, None]).sum(0))


def test_gradcheck_of_colours() -> None:
    p, x = pixel(9), torch.tensor([2.0, 0.0, 8.0], dtype=torch.float64)[:, None, None]
    parameters = [t.detach().requires_grad_() for t in (p.logits, p.loc, p.scale, p.coefficients)]
    assert gradcheck(lambda *t: RGBLogisticMixture(*t, p.centre, 9).log_prob(x), parameters)


def rgb(value: float | Tensor, levels: int = 256) -> likelihoods.DiscretizedLogisticMixture:
    spec = DataSpec((3, 2, 2), "levels", levels, offset=tuple(range(40, 160, 10)), scale=8.0)
    shape = likelihoods.DiscretizedLogisticMixture.output_shape(spec)
    assert shape == (100, 1, 2, 2)
    net = Put(torch.full(shape, value) if isinstance(value, float) else value.expand(shape).clone())
    return likelihoods.DiscretizedLogisticMixture.for_data(net, spec)


@settings(max_examples=60, deadline=None)
@given(output=st.floats(-1e6, 1e6), level=st.sampled_from([0.0, 100.0, 255.0]))
def test_no_network_output_breaks_colours(output: float, level: float) -> None:
    part = rgb(output)
    p = part(torch.zeros(1))
    log_p = p.log_prob(torch.full((3, 2, 2), level))
    log_p.backward()
    assert log_p.isfinite()
    assert part.net.value.grad.isfinite().all()
    assert p.support.check(p.sample()).all()


def test_colours_of_images_are_where_they_belong() -> None:
    """Every pixel and colour has its own offset; pixels do not depend on each other, colours of one pixel do."""
    part = rgb(0.0)
    offset = torch.tensor(range(40, 160, 10)).reshape(3, 2, 2).float()
    torch.testing.assert_close(part(torch.zeros(1)).mean, offset, rtol=0.05, atol=0)
    torch.manual_seed(1)
    p = rgb(torch.randn(100, 1, 2, 2))(torch.zeros(1))
    x = p.sample()
    change = torch.zeros(3, 2, 2)
    change[0, 0, 0] = 10
    other = x.clone()
    other[2, 1, 1] = (x[2, 1, 1] + 20) % 256

    def effect(x: Tensor) -> Tensor:
        return p.log_prob((x + change).clamp(0, 255)) - p.log_prob(x)

    torch.testing.assert_close(effect(other), effect(x), atol=1e-3, rtol=0)
    other[2, 0, 0] = (x[2, 0, 0] + 20) % 256
    assert (effect(other) - effect(x)).abs() > 0.01


def test_one_component_and_equal_components_are_the_plain_likelihood() -> None:
    plain = likelihoods.DiscretizedLogistic(Put(torch.tensor([[0.3, -0.2], [0.1, 0.5]])), 17, 8.0, 3.0)(torch.zeros(1))
    h = torch.tensor([[0.0, 0.0], [0.3, -0.2], [0.1, 0.5]])
    one = likelihoods.DiscretizedLogisticMixture(Put(h), 17, 8.0, 3.0)(torch.zeros(1))
    x = torch.tensor([[0.0, 16.0], [5.0, 9.0]])
    torch.testing.assert_close(one.log_prob(x), plain.log_prob(x))
    several = h.repeat_interleave(4, 0)
    several[4:8] -= torch.linspace(-1, 1, 4)[:, None]  # the components start apart
    four = likelihoods.DiscretizedLogisticMixture(Put(several), 17, 8.0, 3.0)(torch.zeros(1))
    torch.testing.assert_close(four.log_prob(x), plain.log_prob(x))


def test_mixture_is_the_sum_of_its_components() -> None:
    h = torch.randn(3, 4, 2)
    p = likelihoods.DiscretizedLogisticMixture(Put(h.reshape(12, 2)), 17, 8.0, 3.0)(torch.zeros(1))
    loc = 8 + 3 * (h[1] + torch.linspace(-1, 1, 4)[:, None])
    each = DiscretizedLogistic(loc, 3 * (h[2] / (1 + h[2].abs() / 10)).exp(), 17).log_prob(torch.tensor([0.0, 9.0]))
    expected = (each.exp() * h[0].softmax(0)).sum(0).log().sum()
    torch.testing.assert_close(p.log_prob(torch.tensor([0.0, 9.0])), expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_convolutions_have_an_output_for_every_parameter(channels: int) -> None:
    """Ten numbers a pixel and component for RGB, three a channel, pixel and component for others; all matter."""
    spec = DataSpec((channels, 9, 8), "levels", 17, offset=8.0, scale=4.0)
    recipe = recipes.conv_vae(spec, 2, (4,), likelihood=likelihoods.DiscretizedLogisticMixture)
    assert recipe.model.likelihood.rgb == (channels == 3)
    step = Step(recipe.model, recipe.objective, recipe.estimator)
    step(torch.randint(0, 17, (4, *spec.event_shape)).float())[0].backward()
    last = recipe.model.likelihood.net.last
    assert len(last.bias) == (100 if channels == 3 else 30 * channels)
    assert (last.bias.grad != 0).all()
    assert recipe.model.sample(2).shape == (2, *spec.event_shape)
