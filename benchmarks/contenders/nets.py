"""The problem's networks in plain PyTorch, for the contenders written in it."""

from __future__ import annotations

__all__ = ["MLP", "Nets", "soft_clip"]

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.workloads import Problem
from elbox.nn import ConvDecoder, ConvEncoder


def soft_clip(s: Tensor) -> Tensor:
    """The map from the encoder's output to log σ that elbox uses."""
    return s / (1 + s.abs() / 10)


class MLP(nn.Module):
    """Affine maps with an activation between them."""

    def __init__(self, sizes: list[int], activation: type[nn.Module]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for a, b in pairwise(sizes):
            parts += [nn.Linear(a, b), activation()]
        self.net = nn.Sequential(*parts[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Nets(nn.Module):
    """Encoder and decoder: `encode(x [B, 784]) -> (μ, log σ)`, `decode(z [R, L]) -> logits [R, 784]`.

    Convolutional networks are elbox's own modules, which are plain PyTorch.
    """

    mean: Tensor
    logit: Tensor

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        settings, values = problem.workload.settings, problem.weights
        self.latent, self.conv = settings.get("latent", 20), "logit" in values
        self.shape = problem.spec.event_shape
        if self.conv:
            self.encoder: nn.Module = ConvEncoder(self.shape, (2 * self.latent,))
            self.decoder: nn.Module = ConvDecoder(self.latent, self.shape)
        else:
            activation = nn.Tanh if problem.workload.recipe == "iwae" else settings.get("activation", nn.ReLU)
            hidden = list(settings.get("hidden", (400,)))
            self.encoder = MLP([784, *hidden, 2 * self.latent], activation)
            self.decoder = MLP([self.latent, *hidden[::-1], 784], activation)
        self.register_buffer("mean", torch.from_numpy(values["mean"]))
        self.register_buffer("logit", torch.from_numpy(values.get("logit", np.zeros(784, np.float32))))
        for name in ("encoder", "decoder"):
            own = {n.removeprefix(f"{name}."): torch.from_numpy(v) for n, v in values.items() if n.startswith(name)}
            getattr(self, name).load_state_dict(own)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x - self.mean
        h = self.encoder(x.view(-1, *self.shape) if self.conv else x)
        return h[:, : self.latent], soft_clip(h[:, self.latent :])

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z).flatten(1) + self.logit if self.conv else self.decoder(z)

    def export(self) -> dict[str, np.ndarray]:
        """The weights by their neutral names."""
        out = {n: p.detach().float().numpy().copy() for n, p in self.named_parameters()}
        return out | ({"logit": self.logit.numpy()} if self.conv else {})
