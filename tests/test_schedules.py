"""Schedules: exact values, the final value in every run however short, and nothing that depends on epochs."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elbox.schedules import Capacity, Constant, Cyclical, Exponential, Linear, Schedule, Sigmoid, value_at

T = torch.linspace(0, 1, 101, dtype=torch.float64)


def test_constant() -> None:
    assert torch.equal(Constant(0.25)(T), torch.full_like(T, 0.25))


@settings(max_examples=30, deadline=None)
@given(start=st.floats(-5, 5), end=st.floats(-5, 5), over=st.floats(0.01, 1))
def test_linear(start: float, end: float, over: float) -> None:
    """A straight line from start to end on [0, over], then constant."""
    v = Linear(start, end, over)(T)
    expected = torch.tensor([start + (end - start) * min(t / over, 1.0) for t in T.tolist()], dtype=torch.float64)
    torch.testing.assert_close(v, expected)
    assert v[0].item() == pytest.approx(start)
    assert v[-1].item() == pytest.approx(end)


@settings(max_examples=30, deadline=None)
@given(start=st.floats(0.5, 5), end=st.floats(0.1, 0.5), over=st.floats(0.01, 1))
def test_exponential(start: float, end: float, over: float) -> None:
    """max(end, start · e^{−rt}), as Jang et al. (2017) let a temperature fall, and a straight line in log v."""
    rate = math.log(start / end) / over
    expected = (start * torch.exp(-rate * T)).clamp(min=end)
    torch.testing.assert_close(Exponential(start, end, over)(T), expected)
    line = Linear(math.log(end), math.log(start), over)(T).exp()
    torch.testing.assert_close(Exponential(end, start, over)(T), line)


@settings(max_examples=30, deadline=None)
@given(start=st.floats(-5, 5), end=st.floats(-5, 5), over=st.floats(0.05, 1), k=st.floats(0.5, 50))
def test_sigmoid(start: float, end: float, over: float, k: float) -> None:
    """The logistic curve stretched to [start, end] on [0, over], by its definition; then constant."""
    u = (T / over).clamp(max=1)
    low, high = (torch.sigmoid(torch.tensor(s * k / 2, dtype=torch.float64)) for s in (-1, 1))
    expected = start + (end - start) * (torch.sigmoid(k * (u - 0.5)) - low) / (high - low)
    v = Sigmoid(start, end, over, k)(T)
    torch.testing.assert_close(v, expected, rtol=1e-9, atol=1e-9)
    assert v[0].item() == pytest.approx(start, abs=1e-9)
    assert v[-1].item() == pytest.approx(end)


def test_sigmoid_without_steepness_is_a_line() -> None:
    torch.testing.assert_close(Sigmoid(over=0.5, steepness=1e-3)(T), Linear(over=0.5)(T), atol=1e-6, rtol=0)


def test_cyclical_by_hand() -> None:
    """Fu et al. (2019), eq. 6 and 7, with M = 4 cycles of which the first half rises."""
    schedule = Cyclical(cycles=4, ramp=0.5)
    at = {
        0.0: 0.0,
        0.0625: 0.5,
        0.125: 1.0,
        0.2: 1.0,
        0.25: 0.0,
        0.3125: 0.5,
        0.5: 0.0,
        0.625: 1.0,
        0.75: 0.0,
        0.999: 1.0,
        1.0: 1.0,
    }
    for t, v in at.items():
        assert schedule(torch.tensor(t, dtype=torch.float64)).item() == pytest.approx(v), t


@settings(max_examples=30, deadline=None)
@given(cycles=st.integers(1, 9), ramp=st.floats(0.05, 1), end=st.floats(0, 5))
def test_cyclical(cycles: int, ramp: float, end: float) -> None:
    """Between 0 and `end`; every cycle alike; a run ends at the top."""
    schedule = Cyclical(cycles, ramp, end)
    v = schedule(T)
    assert v.min() >= 0
    assert v.max() <= end
    assert v[-1].item() == pytest.approx(end)
    inside = torch.linspace(0.01, 0.99, 50, dtype=torch.float64) / cycles
    for m in range(cycles):
        torch.testing.assert_close(schedule(inside + m / cycles), schedule(inside), atol=1e-9 * (1 + end), rtol=1e-6)


def test_one_cycle_is_a_linear_warm_up() -> None:
    torch.testing.assert_close(Cyclical(cycles=1, ramp=0.3)(T), Linear(0.0, 1.0, over=0.3)(T))


def test_capacity() -> None:
    torch.testing.assert_close(Capacity(25.0, over=0.4)(T), Linear(0.0, 25.0, over=0.4)(T))


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize(
    ("schedule", "final"),
    [
        (Linear(0.0, 1.0, over=0.5), 1.0),
        (Linear(over=1.0), 1.0),
        (Exponential(1.0, 0.25, over=0.7), 0.25),
        (Sigmoid(), 1.0),
        (Sigmoid(2.0, 0.5, over=1.0), 0.5),
        (Cyclical(), 1.0),
        (Capacity(25.0), 25.0),
        (Constant(2.0), 2.0),
    ],
)
def test_final_value_is_reached_in_every_run(schedule: Schedule, final: float, steps: int) -> None:
    """At the end of the run, t = 1, whatever its length: a schedule knows fractions, never epochs."""
    t = torch.arange(steps + 1) / steps
    assert schedule(t)[-1].item() == final


def test_value_at() -> None:
    """A number stays a number; a schedule is asked at t, given as a number or a tensor."""
    assert value_at(0.3, 0.5) == 0.3
    assert value_at(0.3, torch.tensor(0.5)) == 0.3
    assert value_at(Linear(over=1.0), 0.5).item() == 0.5
    assert value_at(Linear(over=1.0), torch.tensor(0.5)).item() == 0.5


def test_single_precision_does_not_pass_the_end() -> None:
    """In the precision of the buffer that training fills."""
    t = torch.linspace(0, 1, 7919)
    assert Linear(0.0, 1.0, over=0.3)(t).max() == 1.0
    assert Exponential(1.0, 0.3, over=0.7)(t).min() == torch.tensor(0.3)
    assert Sigmoid(0.0, 1.0, over=0.3)(t).max() == 1.0
    assert Cyclical(cycles=7, ramp=0.9)(t).max() <= 1.0
