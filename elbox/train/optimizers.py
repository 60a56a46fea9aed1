"""Optimisers by name, each with torch's own defaults unless its entry says otherwise."""

from __future__ import annotations

__all__ = ["OPTIMIZERS", "build"]

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "adagrad": torch.optim.Adagrad,
    "sgd": torch.optim.SGD,
}

# One kernel updates all parameters: on small models this is 20–30 % of a step. Adamax has no such kernel.
_FUSED = {"cpu": ("adam", "adamw", "adagrad", "sgd"), "cuda": ("adam", "adamw", "sgd")}


def build(
    name: str, parameters: Iterable[nn.Parameter], lr: float, *, eps: float | None, device: str, fused: bool = True
) -> Optimizer:
    """Construct the optimiser called `name`.

    Arguments:
        name: A key of `OPTIMIZERS`.
        parameters: What is optimised.
        lr: Learning rate at the start.
        eps: The optimiser's ε, or `None` for torch's default; SGD has none and takes a momentum of 0.9.
        device: Type of the parameters' device: `"cpu"`, `"cuda"`, `"mps"`.
        fused: Whether the one-kernel update may be used (not with gradient scaling, which must come between).
    """
    options: dict[str, Any] = {"momentum": 0.9} if name == "sgd" else {} if eps is None else {"eps": eps}
    if fused and name in _FUSED.get(device, ()):
        options["fused"] = True
    return OPTIMIZERS[name](parameters, lr=lr, **options)
