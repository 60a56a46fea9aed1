"""The posterior that a normalizing flow makes of a diagonal normal, every step of it conditioned on x."""

from __future__ import annotations

__all__ = ["Flow"]

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.distributions import Distribution
from zuko.lazy import LazyDistribution, LazyTransform
from zuko.transforms import ComposedTransform

from elbox.distributions import Pushforward, diagonal_normal, soft_clip
from elbox.errors import SettingError, ShapeError, check_whole
from elbox.parts import part


@part
class Flow(LazyDistribution):
    r"""z = f_T ∘ … ∘ f_1(z_0 | h(x)) with z_0 ~ N(μ(x), diag σ²(x)):

        log q(z|x) = log N(z_0; μ, diag σ²) − Σ_t log |det ∂f_t/∂z_{t−1}|.

    The network puts out μ, σ and features h; a step takes h as its context, so that nothing of the flow's shape is
    shared by all x but the weights that make it. Steps are those of `elbox.flows`, or any zuko lazy transform from
    z_{t−1} to z_t. A draw is scored by its own z_0; the density of another z takes the inverse of each step, at the
    cost that the step's page states.

    Reference: Rezende & Mohamed (2015), *Variational inference with normalizing flows*, §3.1 and §4.2 (the inference
    network puts out the parameters of the flow).

    Arguments:
        net: Network with output shape `Flow.output_shape(latent, context)`: μ, s with σ = exp(soft_clip(s)), h.
        latent: Dimension D of z.
        steps: The steps f_1 … f_T, each made for D features and as many features of context.
        context: Number of features of h.

    Shapes:
        x [B, *event] → distribution with batch shape [B] over [D].

    Raises:
        SettingError: if there is no step.
        ShapeError: if the network's output has another shape.

    Example:
        >>> import torch
        >>> from elbox.flows import Planar
        >>> from elbox.nn import MLP
        >>> q = Flow(MLP(5, [8], Flow.output_shape(2, 6)), 2, [Planar(2, 6), Planar(2, 6)], 6)
        >>> q(torch.zeros(3, 5)).rsample((4,)).shape
        torch.Size([4, 3, 2])
    """

    def __init__(self, net: nn.Module, latent: int, steps: Sequence[LazyTransform], context: int) -> None:
        super().__init__()
        check_whole("latent", latent)
        check_whole("context", context)
        if not steps:
            raise SettingError("got no steps for Flow; expected at least one, such as elbox.flows.Planar")
        self.net, self.latent, self.context = net, latent, context
        self.steps = nn.ModuleList(steps)

    @staticmethod
    def output_shape(latent: int, context: int) -> tuple[int, ...]:
        """The shape that the network's output must have: (2 D + number of features,)."""
        return (2 * latent + context,)

    def forward(self, c: Any = None) -> Distribution:
        h, shape = self.net(c), self.output_shape(self.latent, self.context)
        if h.shape[-1:] != shape:
            raise ShapeError(
                f"got a network output of shape {tuple(h.shape)} for Flow; expected its last dimension to be "
                f"{shape[0]}: make the network with Flow.output_shape({self.latent}, {self.context})"
            )
        mean, log_scale, features = h.split([self.latent, self.latent, self.context], -1)
        base = diagonal_normal(mean, soft_clip(log_scale).exp())
        return Pushforward(base, ComposedTransform(*(step(features) for step in self.steps)))
