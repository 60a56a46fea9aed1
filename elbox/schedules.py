r"""Schedules: values that change during training, as functions of the fraction of the run that is done.

A schedule never speaks of epochs or steps: with 5 epochs or 500, a warm-up reaches its final value (a fraction `over`
of the run). Each is a callable t ↦ value for t in [0, 1]; t may be a tensor, so that a compiled step follows it.
"""

from __future__ import annotations

__all__ = [
    "Schedule",
    "Constant",
    "Linear",
    "Exponential",
    "Sigmoid",
    "Cyclical",
    "Capacity",
    "check_weight",
    "value_at",
]

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from elbox.errors import SettingError, check_number, check_whole
from elbox.parts import part


class Schedule(ABC):
    """A function of the fraction t ∈ [0, 1] of the run that is done."""

    @abstractmethod
    def __call__(self, t: Tensor) -> Tensor:
        """The value at t, a tensor of the same shape."""


@part
class Constant(Schedule):
    """v(t) = value.

    Arguments:
        value: The value.

    Example:
        >>> Constant(0.5)(torch.tensor(0.3))
        tensor(0.5000)
    """

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def __call__(self, t: Tensor) -> Tensor:
        return torch.full_like(t, self.value)


@part
class Linear(Schedule):
    r"""Linear warm-up, v(t) = start + (end − start) · min(t / over, 1).

    Reference: Bowman et al. (2016), *Generating sentences from a continuous space*, §3.1; Sønderby et al. (2016), §2.3.

    Arguments:
        start: Value at the beginning.
        end: Value from the fraction `over` of the run on.
        over: Fraction of the run that the warm-up takes, in (0, 1].

    Raises:
        SettingError: if `over` is not in (0, 1].

    Example:
        >>> Linear(0.0, 1.0, over=0.25)(torch.tensor([0.0, 0.125, 0.25, 1.0]))
        tensor([0.0000, 0.5000, 1.0000, 1.0000])
    """

    def __init__(self, start: float = 0.0, end: float = 1.0, over: float = 0.25) -> None:
        _fraction("over", over)
        self.start, self.end, self.over = start, end, over

    def __call__(self, t: Tensor) -> Tensor:
        return self.start + (self.end - self.start) * (t / self.over).clamp(max=1.0)


@part
class Exponential(Schedule):
    r"""Exponential decay or growth, v(t) = start · (end / start)^u with u = min(t / over, 1).

    A temperature that falls as max(end, start · e^{−rt}), r = log(start / end) / over.

    Reference: Jang, Gu & Poole (2017), *Categorical reparameterization with Gumbel-softmax*, §4 (max(0.5, e^{−rt})).

    Arguments:
        start: Value at the beginning, > 0.
        end: Value from the fraction `over` of the run on, > 0.
        over: Fraction of the run that the change takes, in (0, 1].

    Raises:
        SettingError: if `over` is not in (0, 1], or a value not positive.

    Example:
        >>> Exponential(1.0, 0.25, over=0.5)(torch.tensor([0.0, 0.25, 0.5, 1.0]))
        tensor([1.0000, 0.5000, 0.2500, 0.2500])
    """

    def __init__(self, start: float = 1.0, end: float = 0.5, over: float = 1.0) -> None:
        _fraction("over", over)
        if not (start > 0 and end > 0):
            raise SettingError(f"got start={start}, end={end}; expected two numbers > 0")
        self.start, self.end, self.over = start, end, over

    def __call__(self, t: Tensor) -> Tensor:
        return self.end * (self.start / self.end) ** (1 - (t / self.over).clamp(max=1.0))


@part
class Sigmoid(Schedule):
    r"""S-shaped warm-up, a logistic curve of u = min(t / over, 1), stretched so that it starts and ends exactly.

    v(t) = start + (end − start) · (σ(k (u − ½)) − σ(−k/2)) / (σ(k/2) − σ(−k/2)).

    Reference: Bowman et al. (2016), *Generating sentences from a continuous space*, §3.1 and figure 2.

    Arguments:
        start: Value at the beginning.
        end: Value from the fraction `over` of the run on.
        over: Fraction of the run that the warm-up takes, in (0, 1].
        steepness: k > 0; towards 0 it is a straight line.

    Raises:
        SettingError: if `over` is not in (0, 1], or the steepness not positive.

    Example:
        >>> Sigmoid(0.0, 1.0, over=0.5)(torch.tensor([0.0, 0.125, 0.25, 0.375, 1.0]))
        tensor([0.0000, 0.0701, 0.5000, 0.9299, 1.0000])
    """

    def __init__(self, start: float = 0.0, end: float = 1.0, over: float = 0.25, steepness: float = 10.0) -> None:
        _fraction("over", over)
        check_number("steepness", steepness, positive=True)
        self.start, self.end, self.over, self.steepness = start, end, over, steepness

    def __call__(self, t: Tensor) -> Tensor:
        u = (t / self.over).clamp(max=1.0)
        top = math.tanh(self.steepness / 4)  # σ(x) − ½ = ½ tanh(x/2)
        rise = 0.5 + 0.5 * torch.tanh(self.steepness / 2 * (u - 0.5)) / top
        return self.start + (self.end - self.start) * torch.where(u < 1, rise, torch.ones_like(u))


@part
class Cyclical(Schedule):
    r"""M equal cycles, each a linear ramp from 0 to `end` over a part `ramp` of the cycle, then constant.

    v(t) = end · min(τ / ramp, 1) with τ = frac(t · M); v(1) = end.

    Reference: Fu et al. (2019), *Cyclical annealing schedule*, eq. 6 and 7 (M = 4, R = 0.5 as there).

    Arguments:
        cycles: Number of cycles M ≥ 1.
        ramp: Part of a cycle that rises, in (0, 1].
        end: Value at the top.

    Raises:
        SettingError: if `cycles` is no whole number ≥ 1, or `ramp` is not in (0, 1].

    Example:
        >>> Cyclical(cycles=2)(torch.tensor([0.0, 0.125, 0.25, 0.5, 1.0]))
        tensor([0.0000, 0.5000, 1.0000, 0.0000, 1.0000])
    """

    def __init__(self, cycles: int = 4, ramp: float = 0.5, end: float = 1.0) -> None:
        _fraction("ramp", ramp)
        check_whole("cycles", cycles)
        self.cycles, self.ramp, self.end = cycles, ramp, end

    def __call__(self, t: Tensor) -> Tensor:
        tau = torch.where(t < 1, torch.frac(t * self.cycles), torch.ones_like(t))
        return self.end * (tau / self.ramp).clamp(max=1.0)


@part
class Capacity(Schedule):
    r"""Capacity of the latent channel that grows linearly, C(t) = nats · min(t / over, 1).

    Reference: Burgess et al. (2018), *Understanding disentangling in β-VAE*, eq. 8.

    Arguments:
        nats: Final capacity, nats.
        over: Fraction of the run after which it is reached, in (0, 1].

    Raises:
        SettingError: if `over` is not in (0, 1].

    Example:
        >>> Capacity(25.0, over=0.5)(torch.tensor([0.0, 0.25, 1.0]))
        tensor([ 0.0000, 12.5000, 25.0000])
    """

    def __init__(self, nats: float = 25.0, over: float = 0.5) -> None:
        _fraction("over", over)
        self.nats, self.over = nats, over

    def __call__(self, t: Tensor) -> Tensor:
        return self.nats * (t / self.over).clamp(max=1.0)


def check_weight(name: str, value: Any, *, positive: bool = False) -> None:
    """Refuse what is neither a finite number ≥ 0, or > 0, nor a schedule.

    Arguments:
        name: Of the setting.
        value: What was got for it.
        positive: Refuse 0 too.

    Raises:
        SettingError: naming the setting.

    Example:
        >>> check_weight("beta", math.nan)
        Traceback (most recent call last):
        elbox.errors.SettingError: got beta=nan; expected a number ≥ 0, or a schedule
    """
    if not isinstance(value, Schedule):
        check_number(name, value, positive=positive, hint=", or a schedule")


def value_at(value: float | Schedule, t: Tensor | float) -> float | Tensor:
    """A number as it is, a schedule at the fraction t of the run."""
    if isinstance(value, Schedule):
        return value(t if isinstance(t, Tensor) else torch.tensor(float(t)))
    return value


def _fraction(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise SettingError(f"got {name}={value}; expected a fraction of the run in (0, 1]")
