"""In which arithmetic a run computes, and on how many threads, set for a block and put back after it."""

from __future__ import annotations

__all__ = ["evaluating", "no_denormals", "products", "products_alone", "threads"]

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from elbox.precision import multiplying


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Multiply as `precision` says inside the block; the process's own settings are put back after it."""
    with multiplying({"tf32": "high", "bf16": "medium"}.get(precision, "highest")):
        yield


@contextmanager
def products_alone(autocast: AbstractContextManager[Any]) -> Iterator[None]:
    """Autocast rounds products and convolutions, and nothing else: what comes of them is in float32 again.

    By itself it hands their half-precision results on, and with them whatever is computed elementwise: codes, their
    log-densities, sums over pixels.

    Arguments:
        autocast: What to enter; if it is something else than autocast, nothing is added.
    """
    with autocast:
        rounds = torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu")
        with _Float32Results() if rounds else nullcontext():
            yield


class _Float32Results(TorchFunctionMode):
    """No function, method or operator returns half precision."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        return tuple(map(_raised, found)) if type(found) is tuple else _raised(found)


def _raised(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value


@contextmanager
def evaluating(precision: str) -> Iterator[None]:
    """Multiply in full precision inside the block, as everything held out is; the default type is double for "64"."""
    default = torch.get_default_dtype()
    with multiplying("highest"):
        torch.set_default_dtype(torch.float64 if precision == "64" else default)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Torch's operations on this many threads; 0 changes nothing."""
    before = torch.get_num_threads()
    if number:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def no_denormals() -> Iterator[None]:
    """Numbers below 1e-38 count as 0 inside the block; put back afterwards.

    A CPU takes some hundred cycles for each of them, and Adam makes many: the moving averages of a weight that gets no
    more gradient, such as one of a pixel that is always black, go to 0 through them. Threads that torch starts inherit
    the setting; those that run already keep their own.
    """
    before = bool(torch.tensor(1e-38) * 1e-3 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
