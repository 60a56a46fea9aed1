"""What a computation costs, counted and not timed, so that every choice made from it is the same on every run.

It is run once while four things are counted: floating-point operations of matrix products and convolutions, operator
calls (each costs a few microseconds, whatever its size), numbers written by all other operators (each a trip through
memory, which a compiled computation saves by fusion), and bytes of all new tensors.
"""

from __future__ import annotations

__all__ = ["Cost", "count", "uncounted"]

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_aside: ContextVar[bool] = ContextVar("_aside", default=False)  # while nothing is counted


@dataclass(frozen=True)
class Cost:
    """The cost of one computation.

    Arguments:
        flops: Floating-point operations of matrix products and convolutions.
        calls: Operator calls.
        numbers: Elements written by operators that are neither products nor views.
        bytes: Bytes of all tensors written, views not counted.
    """

    flops: int
    calls: int
    numbers: int
    bytes: int = 0


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        from torch.utils.flop_counter import flop_registry

        super().__init__()
        self.formulas = flop_registry
        self.flops = self.calls = self.numbers = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if _aside.get():
            return out
        self.calls += 1
        formula = self.formulas.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=out))
        elif isinstance(out, Tensor) and not getattr(func, "is_view", False):
            self.numbers += out.numel()
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        made = [t.untyped_storage() for t in tree_leaves(out) if isinstance(t, Tensor)]
        self.bytes += sum(storage.nbytes() for storage in made if storage.data_ptr() not in given)
        return out


def count(function: Callable[[], Any]) -> Cost:
    """Run `function` and count what it does.

    Example:
        >>> import torch
        >>> count(lambda: torch.ones(2, 3) @ torch.ones(3, 4)).flops
        48
    """
    with _Counter() as counter:
        function()
    return Cost(counter.flops, counter.calls, counter.numbers, counter.bytes)


@contextmanager
def uncounted() -> Iterator[None]:
    """Within it nothing is counted: for a computation of many passes that bounds its own memory.

    Example:
        >>> import torch
        >>> with uncounted():
        ...     cost = count(lambda: torch.ones(2, 3) @ torch.ones(3, 4))
        >>> cost.flops
        0
    """
    token = _aside.set(True)
    try:
        yield
    finally:
        _aside.reset(token)
