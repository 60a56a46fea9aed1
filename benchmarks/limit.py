"""The least that a step must do: its matrix products, at the same shapes, with the best kernel that torch has here.

For a layer that maps rows [R, i] to [R, o] these are, of 2 R i o operations each: the output, the weights' gradient,
and the input's gradient, which the first layer of the encoder does not need. The kernel of each product is the fastest
of a few, found once; the rounds then run all products of a step one after another.
"""

from __future__ import annotations

__all__ = ["products", "score", "train"]

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks import weights
from benchmarks.worker import Failed, Gate
from benchmarks.workloads import Problem

Product = tuple[int, int, int]  # [m, k] times [k, n]


def products(problem: Problem) -> list[Product]:
    """The matrix products of one training step."""
    found = []
    work = problem.workload
    for part, rows in (("encoder", work.batch), ("decoder", work.batch * work.samples)):
        for number, (w, _) in enumerate(weights.layers(problem.weights, part)):
            outs, ins = w.shape
            found += [(rows, ins, outs), (outs, rows, ins)]
            if part == "decoder" or number:
                found.append((rows, outs, ins))
    return found


def train(problem: Problem, gate: Gate, bf16: bool = False) -> None:
    """As many times the products of a step as there are steps in a pass."""
    _repeat(products(problem), problem.workload.steps, gate, bf16)


def score(problem: Problem, gate: Gate, bf16: bool = False, samples: int = 5000, chunk: int = 1000) -> None:
    """The decoder's products for all samples of all images, a chunk of samples at a time."""
    layers = weights.layers(problem.weights, "decoder")
    shapes = [(chunk, w.shape[1], w.shape[0]) for w, _ in layers]
    _repeat(shapes, len(problem.x) * samples // chunk, gate, bf16)


@torch.no_grad()
def _repeat(shapes: list[Product], times: int, gate: Gate, bf16: bool) -> None:
    if not shapes:
        raise Failed("it has convolutions")
    found = [_best(shape, bf16) for shape in shapes]
    operations = sum(2 * m * k * n for m, k, n in shapes)
    while True:
        start = time.perf_counter()
        for _ in range(times):
            for product, _ in found:
                product()
        speed = operations * times / (time.perf_counter() - start) / 1e9
        note = f"{operations / 1e6:.0f} MFLOP, {speed:.0f} GFLOP/s; " + ", ".join(sorted({name for _, name in found}))
        gate(dict, note)


def _best(shape: Product, bf16: bool) -> tuple[Callable[[], Any], str]:
    kernels = _kernels(shape, bf16)
    times = {name: _seconds(kernel) for name, kernel in kernels.items()}
    name = min(times, key=times.__getitem__)
    return kernels[name], name.partition(",")[0]


def _kernels(shape: Product, bf16: bool) -> dict[str, Callable[[], Any]]:
    m, k, n = shape
    dtype = torch.bfloat16 if bf16 else torch.float32
    a, b, out = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype), torch.empty(m, n, dtype=dtype)
    left, right = a.t().contiguous().t(), b.t().contiguous().t()  # the same matrices, stored by columns
    found: dict[str, Callable[[], Any]] = {
        "mm": lambda: torch.mm(a, b, out=out),
        "mm, right by columns": lambda: torch.mm(a, right, out=out),
        "mm, left by columns": lambda: torch.mm(left, b, out=out),
    }
    if not bf16:
        found |= {f"oneDNN{how}": f for how, f in _onednn(a, left, right.t()).items()}
    return found


def _onednn(a: Tensor, left: Tensor, weight: Tensor) -> dict[str, Callable[[], Any]]:
    """oneDNN's float32 product, which torch itself does not use for `mm`."""
    linear = getattr(getattr(torch.ops, "mkldnn", None), "_linear_pointwise", None)
    try:
        linear(a, weight, None, "none", [], "")  # type: ignore[misc]
    except Exception:  # not in this build
        return {}
    return {
        "": lambda: linear(a, weight, None, "none", [], ""),  # type: ignore[misc]
        ", left by columns": lambda: linear(left, weight, None, "none", [], ""),  # type: ignore[misc]
    }


def _seconds(kernel: Callable[[], Any], budget: float = 0.03) -> float:
    kernel()
    best, end = float("inf"), time.perf_counter() + budget
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(5):
            kernel()
        best = min(best, time.perf_counter() - start)
    return best
