"""Draws: the same values, different gradients; a posterior that is random itself is not evaluated twice."""

from __future__ import annotations

import pytest
import torch

from elbox import draws
from elbox.nn import MLP
from elbox.posteriors import DiagonalNormal

X = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("draw", [draws.reparameterized, draws.path, draws.score, draws.sample])
def test_values_agree_with_the_posterior(draw):
    posterior = DiagonalNormal(MLP(5, [8], (2, 2)), 2)
    z, log_qz, q = draw(posterior, X, 4)
    assert z.shape == (4, 3, 2)
    torch.testing.assert_close(log_qz, q.log_prob(z))


def test_which_gradients_flow():
    posterior = DiagonalNormal(MLP(5, [8], (2, 2)), 2)
    assert draws.reparameterized(posterior, X, 4).z.requires_grad
    assert not draws.score(posterior, X, 4).z.requires_grad
    assert draws.score(posterior, X, 4).log_qz.requires_grad
    z, log_qz, q = draws.path(posterior, X, 4)
    (by_z,) = torch.autograd.grad(log_qz.sum(), z, retain_graph=True)
    torch.testing.assert_close(by_z, -(z - q.mean) / q.variance)
    weights = list(posterior.parameters())
    whole = torch.autograd.grad(log_qz.sum(), weights, retain_graph=True)
    through_z = torch.autograd.grad((by_z.detach() * z).sum(), weights)  # the chain rule by hand
    for a, b in zip(whole, through_z, strict=True):
        torch.testing.assert_close(a, b)
