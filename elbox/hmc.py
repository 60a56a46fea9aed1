r"""Hamiltonian Monte Carlo, for many chains at once: samples of a density that is known up to a factor.

A chain's state z is given a momentum ρ ~ N(0, I), anew in each transition, and moves along

    H(z, ρ) = −log p(z) + ½ ‖ρ‖²

by S leapfrog steps, which preserve volume and are reversible in time; the end is accepted with probability
min(1, exp(H_start − H_end)), so that p is left as it is whatever the step size. Too large a step is rejected, too small
a one goes nowhere: `adapted` steers it to a rate of acceptance.
"""

from __future__ import annotations

__all__ = ["Chains", "Field", "Slope", "adapted", "field_of", "generalized_leapfrog", "hmc", "leapfrog", "own"]

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Field = Callable[[Tensor], tuple[Tensor, Tensor]]  # z [..., D] ↦ (log p(z) [...], its gradient [..., D])
Slope = Callable[[Tensor, Tensor], Tensor]  # (z, ρ) ↦ a derivative of a kinetic energy T(z, ρ), [..., D]
JITTER = 0.2  # steps vary by this share from transition to transition, so that no chain goes round in a circle


class Chains(NamedTuple):
    """States z [..., D] of the chains, log p(z) [...] in nats up to a constant, its gradient [..., D], and the mean
    acceptance rate [...].
    """

    z: Tensor
    log_p: Tensor
    slope: Tensor
    acceptance: Tensor


def field_of(log_p: Callable[[Tensor], Tensor], *, through: bool = False) -> Field:
    """A log-density [..., D] ↦ [...] with its gradient, by autograd.

    Arguments:
        log_p: The log-density.
        through: Whether both can be differentiated further, in z and in whatever the density depends on.

    Example:
        >>> field_of(lambda z: -z.square().sum(-1))(torch.tensor([1.0, 2.0]))
        (tensor(-5.), tensor([-2., -4.]))
    """

    def field(z: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = own(z, through=through)
            value = log_p(at)
            (slope,) = torch.autograd.grad(value.sum(), at, create_graph=through)
        return value if through else value.detach(), slope

    return field


def own(z: Tensor, *, through: bool) -> Tensor:
    """z as a variable of its own: a derivative to it is partial, also where other variables were made of z.

    Arguments:
        z: Any shape.
        through: Whether it stays connected to what z was made of.

    Example:
        >>> z = torch.tensor(3.0, requires_grad=True)
        >>> other, at = 2 * z, own(z, through=True)
        >>> torch.autograd.grad(other * at, at)[0].item()
        6.0
    """
    return z.view_as(z) if through and z.requires_grad else z.detach().requires_grad_()


def leapfrog(
    field: Field, z: Tensor, momentum: Tensor, slope: Tensor, step: Tensor | float, steps: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""S leapfrog steps: ρ += ½ε ∇log p(z), then z += ε ρ and ρ += ε ∇log p(z) in turn, and the last ρ half a step.

    The map (z, ρ) ↦ (z', ρ') has determinant 1, and is its own inverse when momenta are turned round.

    Reference: Neal (2011), *MCMC using Hamiltonian dynamics*, §2.3.

    Arguments:
        field: z ↦ (log p(z), ∇log p(z)).
        z: Positions, [..., D].
        momentum: ρ, [..., D].
        slope: ∇log p at z, [..., D].
        step: ε, broadcastable to z.
        steps: S ≥ 1.

    Returns:
        z', ρ', log p(z') and ∇log p(z').

    Example:
        >>> field = field_of(lambda z: -0.5 * z.square().sum(-1))
        >>> z, momentum, _, _ = leapfrog(field, torch.ones(1), torch.zeros(1), -torch.ones(1), 0.01, 157)
        >>> z.abs() < 0.01, (momentum + 1).abs() < 0.01  # a quarter of a turn
        (tensor([True]), tensor([True]))
    """
    momentum = momentum + 0.5 * step * slope
    for left in reversed(range(steps)):
        z = z + step * momentum
        value, slope = field(z)
        momentum = momentum + (1.0 if left else 0.5) * step * slope
    return z, momentum, value, slope


def generalized_leapfrog(
    field: Field,
    push: Slope,
    velocity: Slope,
    z: Tensor,
    momentum: Tensor,
    slope: Tensor,
    step: Tensor | float,
    iterations: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""One leapfrog step for H(z, ρ) = −log p(z) + T(z, ρ), whose kinetic energy depends on z.

        ρ_½ = ρ − ½ε ∂_z H(z, ρ_½),    z' = z + ½ε [∂_ρ H(z, ρ_½) + ∂_ρ H(z', ρ_½)],    ρ' = ρ_½ − ½ε ∂_z H(z', ρ_½).

    The first two are solved by fixed-point iterations, whose error falls by a factor of order ε in each. Solved, the
    map has determinant 1, and is its own inverse when momenta are turned round.

    Reference: Girolami & Calderhead (2011), *Riemann manifold Langevin and Hamiltonian Monte Carlo methods* (its use);
    Leimkuhler & Reich (2004), *Simulating Hamiltonian dynamics* (the integrator).

    Arguments:
        field: z ↦ (log p(z), ∇log p(z)).
        push: (z, ρ) ↦ ∂_z T.
        velocity: (z, ρ) ↦ ∂_ρ T.
        z: Position, [..., D].
        momentum: ρ, [..., D].
        slope: ∇log p at z, [..., D].
        step: ε, broadcastable to z.
        iterations: Fixed-point iterations for each of the two.

    Returns:
        z', ρ', log p(z') and ∇log p(z').

    Example:
        >>> flat = lambda z, momentum: torch.zeros_like(z), lambda z, momentum: momentum  # T = ½ ‖ρ‖²
        >>> start = torch.ones(1), torch.zeros(1), -torch.ones(1), 0.1
        >>> field = field_of(lambda z: -0.5 * z.square().sum(-1))
        >>> generalized_leapfrog(field, *flat, *start, iterations=3)[:2] == leapfrog(field, *start, 1)[:2]
        True
    """
    half = momentum
    for _ in range(iterations):
        half = momentum + 0.5 * step * (slope - push(z, half))
    before, end = velocity(z, half), z
    for _ in range(iterations):
        end = z + 0.5 * step * (before + velocity(end, half))
    value, slope = field(end)
    return end, half + 0.5 * step * (slope - push(end, half)), value, slope


def hmc(
    field: Field, start: Tensor | Chains, step: Tensor | float, leapfrogs: int = 10, transitions: int = 1
) -> Chains:
    r"""Transitions of Hamiltonian Monte Carlo, of all chains at once.

    Each leaves the density as it is. The step of each chain and transition is drawn from ε · U(0.8, 1.2); an end where
    the density is not finite is rejected. No gradient flows through.

    Reference: Duane et al. (1987), *Hybrid Monte Carlo*; Neal (2011), *MCMC using Hamiltonian dynamics*, §3.2 (random
    step sizes) and figure 2.

    Arguments:
        field: z ↦ (log p(z), ∇log p(z)), of a density that need not be normalised.
        start: Where the chains begin, [..., D], or what an earlier call returned, which saves an evaluation.
        step: ε, broadcastable to [..., 1].
        leapfrogs: Leapfrog steps of one transition.
        transitions: Number of transitions.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> normal = field_of(lambda z: -0.5 * z.square().sum(-1))
        >>> chains = hmc(normal, torch.zeros(4000, 2), 0.3, leapfrogs=5, transitions=5)
        >>> bool((chains.z.var(0) - 1).abs().max() < 0.1), bool(chains.acceptance.mean() > 0.9)
        (True, True)
    """
    z, log_p, slope = start[:3] if isinstance(start, Chains) else (start.detach(), *field(start.detach()))
    accepted = torch.zeros_like(log_p)
    for _ in range(transitions):
        varied = step * (1 + JITTER * (2 * torch.rand_like(log_p)[..., None] - 1))
        before = torch.randn_like(z)  # a momentum of its own: an old one would be no draw of N(0, I)
        end, after, end_p, end_slope = leapfrog(field, z, before, slope, varied, leapfrogs)
        gain = end_p - log_p - 0.5 * (after.square() - before.square()).sum(-1)
        chance = torch.where(gain.isfinite(), gain.clamp(max=0.0).exp(), torch.zeros_like(gain))
        take = torch.rand_like(chance) < chance
        z, slope = torch.where(take[..., None], end, z), torch.where(take[..., None], end_slope, slope)
        log_p, accepted = torch.where(take, end_p, log_p), accepted + chance / transitions
    return Chains(z, log_p, slope, accepted)


def adapted(log_step: Tensor, acceptance: Tensor, target: float, rate: float = 0.05) -> Tensor:
    r"""log ε + rate · (acceptance − target) / (1 − target): longer steps where more are accepted than wanted.

    Reference: Andrieu & Thoms (2008), *A tutorial on adaptive MCMC*, §4.2.2 (Robbins–Monro on the rate of acceptance).

    Arguments:
        log_step: log ε, of any shape.
        acceptance: Mean rate of acceptance, in [0, 1].
        target: The rate wanted, in (0, 1).
        rate: What log ε rises by where all are accepted.

    Example:
        >>> adapted(torch.tensor(0.0), torch.tensor([0.4, 0.9, 1.0]), 0.9)
        tensor([-0.2500,  0.0000,  0.0500])
    """
    return log_step + rate * (acceptance - target) / (1 - target)
