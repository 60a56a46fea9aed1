"""Networks: every image size, conditions, standardisation, initialisation."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from elbox.nn import MLP, ConvDecoder, ConvEncoder, Standardize
from elbox.nn.conv import Bilinear, Residual

SIDES, CHANNELS = st.integers(8, 33), st.integers(1, 4)


@settings(max_examples=25, deadline=None)
@given(h=SIDES, w=SIDES, c=CHANNELS, depth=st.integers(1, 4), context=st.integers(0, 2), n=st.integers(1, 3))
def test_convolutions_fit_every_image(h: int, w: int, c: int, depth: int, context: int, n: int) -> None:
    """Any H, W ≥ 8, 1 to 4 channels, any depth, with and without a condition; a gradient reaches every weight."""
    channels = (2, 3, 2, 3)[:depth]
    encoder = ConvEncoder((c, h, w), (2, 3), channels, context)
    decoder = ConvDecoder(3, (n, c, h, w), channels, context)
    x, condition = torch.randn(2, c, h, w), torch.randn(2, context)
    code = encoder((x, condition) if context else x)
    assert code.shape == (2, 2, 3)
    for p in decoder.parameters():
        nn.init.normal_(p, std=0.3)
    z = code.mean(-2)
    image = decoder((z, condition) if context else z)
    assert image.shape == (2, n, c, h, w)
    image.square().sum().backward()
    for net in (encoder, decoder):
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@settings(max_examples=20, deadline=None)
@given(small=st.tuples(st.integers(1, 9), st.integers(1, 9)), data=st.data())
def test_bilinear_is_that_of_torch(small: tuple[int, int], data: st.DataObject) -> None:
    large = tuple(data.draw(st.integers(max(1, 2 * s - 1), 2 * s)) for s in small)
    h = torch.randn(2, 3, *small)
    expected = F.interpolate(h, size=large, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Bilinear(small, large)(h), expected)


def test_residual_block_starts_as_the_identity() -> None:
    h = torch.randn(2, 3, 5, 5)
    block = Residual(3)
    torch.testing.assert_close(block(h) - block.second.bias[:, None, None], h)


@pytest.mark.parametrize(
    "net", [MLP(5, [7], (2, 3), context=4), MLP((1, 5), [], 6, context=4)], ids=["hidden", "affine"]
)
def test_mlp_sees_its_condition(net: MLP) -> None:
    x, a, b = torch.randn(3, *net.inputs), torch.randn(3, 4), torch.randn(3, 4)
    assert not torch.allclose(net((x, a)), net((x, b)))


def test_convolutions_see_their_condition() -> None:
    x, z, a, b = torch.randn(3, 1, 8, 8), torch.randn(3, 2), torch.randn(3, 4), torch.randn(3, 4)
    encoder, decoder = ConvEncoder((1, 8, 8), 2, (3,), context=4), ConvDecoder(2, (1, 8, 8), (3,), context=4)
    assert not torch.allclose(encoder((x, a)), encoder((x, b)))
    assert not torch.allclose(decoder((z, a)), decoder((z, b)))


def test_mlp_is_the_formula() -> None:
    """h_1 = tanh(W_1 (x − offset)/scale + b_1), output W_2 h_1 + b_2."""
    net = MLP(3, [4], 2, nn.Tanh, offset=(1.0, 2.0, 3.0), scale=2.0)
    first, last = net.net[0], net.net[2]
    x = torch.randn(5, 3)
    h = torch.tanh((x - torch.tensor([1.0, 2.0, 3.0])) / 2 @ first.weight.T + first.bias)
    torch.testing.assert_close(net(x), h @ last.weight.T + last.bias)


def test_mlp_starts_as_glorot_and_bengio() -> None:
    """Uniform in ±√(6 / (fan in + fan out)), biases 0."""
    net = MLP(300, [200], 10)
    for layer, fans in ((net.net[0], 500), (net.net[2], 210)):
        bound = math.sqrt(6 / fans)
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert not layer.bias.any()


@pytest.mark.parametrize("event", [(6,), (1, 2, 3)])
def test_standardize(event: tuple[int, ...]) -> None:
    """One offset for each dimension, in the order of the flattened event."""
    offset, scale = tuple(range(6)), tuple(float(i + 1) for i in range(6))
    layer, x = Standardize(event, tuple(map(float, offset)), scale), torch.randn(4, *event)
    expected = (x.flatten(1) - torch.tensor(offset)) / torch.tensor(scale)
    torch.testing.assert_close(layer(x).flatten(1), expected)
