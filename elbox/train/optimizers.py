r"""Optimisers by name, each with torch's own defaults unless its entry says otherwise.

torch's optimisers do the work and hold the state. Adam's update is also written out here in plain operators on the same
state, because a recorded step (`elbox.record`) can hold operators but not torch's own kernel:

    m ← m + (1 − β₁)(g − m)      v ← β₂ v + (1 − β₂) g²      θ ← θ − a m / (b √v + ε)

with a = lr / (1 − β₁^t) and b = 1 / √(1 − β₂^t), two numbers for each step t that the host computes: inside the graph
they would be computed anew for every weight.
"""

from __future__ import annotations

__all__ = ["OPTIMIZERS", "build", "factors", "in_operators", "prepare", "update"]

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
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


def factors(group: dict[str, Any], steps: int) -> tuple[float, float, float]:
    """The three numbers of step t that `update` takes: a, b, and the factor of decoupled weight decay.

    Arguments:
        group: The optimiser's parameter group, with its learning rate for this step.
        steps: t, counted from 1.

    Reference: Kingma & Ba (2015), *Adam*, algorithm 1; Loshchilov & Hutter (2019), *Decoupled weight decay
    regularization*, algorithm 2.

    Example:
        >>> factors({"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.0}, 1)
        (1.0, 10.0, 1.0)
    """
    beta1, beta2 = group["betas"]
    return group["lr"] / (1 - beta1**steps), (1 - beta2**steps) ** -0.5, 1 - group["lr"] * group["weight_decay"]


@torch.no_grad()
def update(optimizer: Optimizer, numbers: Tensor) -> None:
    """One step of Adam or AdamW, on the optimiser's own parameters, gradients and state, in plain operators.

    Arguments:
        optimizer: torch's Adam or AdamW, its state filled in by `prepare`.
        numbers: What `factors` returned, as a tensor [≥ 3].
    """
    a, b, keep = numbers[:3].unbind()
    (group,) = optimizer.param_groups
    beta1, beta2 = group["betas"]
    for parameter in group["params"]:
        if parameter.grad is None:
            continue
        state = optimizer.state[parameter]
        m, v = state["exp_avg"], state["exp_avg_sq"]
        m.lerp_(parameter.grad, 1 - beta1)
        v.mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
        if group["weight_decay"]:
            parameter.mul_(keep)
        parameter.sub_(a * m / (b * v.sqrt() + group["eps"]))


def in_operators(optimizer: Optimizer) -> bool:
    """Whether `update` can do this optimiser's step."""
    return type(optimizer) in (torch.optim.Adam, torch.optim.AdamW)


def prepare(optimizer: Optimizer, steps: int = 0) -> list[Tensor]:
    """Make the state that torch makes at its first step, and return the tensors that `update` changes.

    Arguments:
        optimizer: torch's Adam or AdamW.
        steps: Steps done, if `update` did them: torch counts them in its state, and `update` does not.
    """
    tensors = []
    for parameter in optimizer.param_groups[0]["params"]:
        state = optimizer.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        if steps:
            state["step"].fill_(steps)
        tensors += [state["exp_avg"], state["exp_avg_sq"]]
    return tensors
