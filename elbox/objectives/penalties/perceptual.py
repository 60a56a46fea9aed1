"""Distances between images in the features of a network that someone gives."""

from __future__ import annotations

__all__ = ["Perceptual"]

import torch
from torch import Tensor, nn

from elbox.objectives.penalized import Penalty
from elbox.parts import part
from elbox.players import frozen
from elbox.schedules import Schedule
from elbox.terms import Terms


@part
class Perceptual(nn.Module, Penalty):
    r"""½ Σ_l E_q‖f_l(x) − f_l(x̂)‖², with given features f_l and x̂ = E[x|z].

    The features are held fixed, and stay in evaluation mode. In a saved run the network is described by the arguments
    of its class, which must be an `@elbox.part`; its weights are in the run's checkpoints, as resuming needs them, and
    not in model.safetensors, as using the model does not.

    Reference: Hou et al. (2017), *Deep feature consistent variational autoencoder* (there with layers of VGG-19).

    Arguments:
        features: Network x [B, *event] ↦ features [B, ...], or a sequence of these; it sees x in the units of the data.
        weight: Factor ≥ 0, a number or a `Schedule`.

    Example:
        >>> from elbox.nn import ConvEncoder
        >>> Perceptual(ConvEncoder((1, 8, 8), 10), weight=0.5).features.training
        False
    """

    of_latents = False

    def __init__(self, features: nn.Module, weight: float | Schedule = 1.0) -> None:
        super().__init__()
        self.features, self.weight = features, weight
        self.features.eval()

    def train(self, mode: bool = True) -> Perceptual:
        super().train(mode)
        self.features.eval()
        return self

    def __call__(self, terms: Terms, progress: Tensor | float = 1.0) -> Tensor:
        assert terms.px is not None
        assert terms.x is not None
        made = terms.px.mean
        with frozen(self.features):
            wanted, found = _layers(self.features(terms.x)), _layers(self.features(made.flatten(0, 1)))
        layers = [
            (f.unflatten(0, made.shape[:2]) - w).square().flatten(2).sum(-1).mean(0)
            for w, f in zip(wanted, found, strict=True)
        ]
        return 0.5 * torch.stack(layers).sum(0)


def _layers(features: Tensor | list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    return [features] if isinstance(features, Tensor) else list(features)
