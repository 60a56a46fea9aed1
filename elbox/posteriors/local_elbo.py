"""The ELBO of each example alone as a function of the mean and scale of its own normal posterior, and its slope."""

from __future__ import annotations

__all__ = ["fixed_noise", "log_joint", "refuse_of_batch", "slope_of"]

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.quasirandom import SobolEngine

from elbox.errors import IncompatibleError, SettingError, check_whole


def fixed_noise(latent: int, steps: int, samples: int) -> Tensor:
    """ε ~ N(0, I) for each step, [steps, samples, 1, D]: pairs ±ε of a Sobol sequence, the same each time.

    Arguments:
        latent: D.
        steps: Number of steps.
        samples: Samples of ε in each step, an even number.

    Raises:
        SettingError: if a number is out of range.
    """
    check_whole("latent", latent)
    check_whole("steps", steps)
    check_whole("samples", samples, 2)
    if samples % 2:
        raise SettingError(f"got samples={samples}; expected an even number: they come in pairs ±ε")
    uniform = SobolEngine(latent, scramble=True, seed=0).draw(steps * samples // 2)
    half = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6)).reshape(steps, samples // 2, 1, latent)
    return torch.cat([half, -half], 1).to(torch.get_default_dtype())


def refuse_of_batch(who: str, likelihood: nn.Module) -> None:
    """Refuse a likelihood whose density of one example depends on the others.

    Raises:
        IncompatibleError: naming both, and one that works.
    """
    if getattr(likelihood, "of_batch", False):
        raise IncompatibleError(
            f"got {who} with {type(likelihood).__name__}, whose variance is that of a batch in training; "
            "expected a likelihood of each example alone; use Gaussian"
        )


def log_joint(prior: nn.Module, likelihood: nn.Module, z: Tensor, x: Tensor, condition: list[Any]) -> Tensor:
    """log p(x, z|c) of codes z [K, B, D] for examples x [B, *event], [K, B]."""
    pairs = (z, *(c.expand(*z.shape[:-2], *c.shape) for c in condition)) if condition else z
    value: Tensor = likelihood(pairs).log_prob(x) + prior(*condition).log_prob(z)
    return value


def slope_of(
    local: Tensor,
    log_p: Callable[[Tensor], Tensor],
    noise: Tensor,
    bound: Callable[[Tensor], Tensor],
    *,
    through: bool = False,
) -> Tensor:
    r"""∇ of L(μ, s) = E_ε[ log p(x, μ + σ ⊙ ε) ] + Σ_d log σ_d for each example, [2, B, D], with log σ = bound(s).

    Arguments:
        local: μ and s, [2, B, D].
        log_p: z [K, B, D] ↦ log p(x, z), [K, B].
        noise: ε, [K, 1, D].
        bound: s ↦ log σ.
        through: Leave the slope differentiable, in `local` and in whatever `log_p` depends on.
    """
    with torch.enable_grad():
        at = local if through and local.requires_grad else local.detach().requires_grad_()
        log_scale = bound(at[1])
        value = log_p(at[0] + log_scale.exp() * noise).mean(0).sum() + log_scale.sum()
        (slope,) = torch.autograd.grad(value, at, create_graph=through)
    return slope
