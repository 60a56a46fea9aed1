"""The conditions under which everything is measured: full precision, no gradients, a seed of its own, no trace left."""

from __future__ import annotations

__all__ = ["Examples", "like_model", "measuring", "on_device"]

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from elbox.precision import multiplying


@runtime_checkable
class Examples(Protocol):
    """Rows [N, *event] of which slices can be taken: a tensor, or data that are read from disk piece by piece."""

    @property
    def shape(self) -> torch.Size: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice) -> Tensor: ...


Place = tuple[torch.device, torch.dtype]


@contextmanager
def measuring(model: nn.Module, seed: int) -> Iterator[None]:
    """In the block the model is in evaluation mode, without gradients and autocast; it multiplies in full precision.

    Random numbers come from generators seeded with `seed`. Afterwards the mode of every module, the precision of
    products and the global generators of the CPU and of the model's device are what they were.

    Arguments:
        model: The model to measure.
        seed: Seed ≥ 0.
    """
    device, _ = _place(model)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(multiplying("highest"))
        stack.enter_context(_seeded(seed, device))
        stack.enter_context(_evaluation_mode(model))
        yield


def like_model(model: nn.Module, x: Tensor) -> Tensor:
    """x on the device and in the floating-point type of the model's weights; bytes become floats."""
    device, dtype = _place(model)
    return x.to(device=device, dtype=dtype)


def on_device(model: nn.Module, c: Tensor | None, rows: slice) -> Tensor | None:
    """Those rows of a condition on the model's device; labels stay whole numbers."""
    if c is None:
        return None
    return like_model(model, c[rows]) if c.is_floating_point() else c[rows].to(_place(model)[0])


def _place(model: nn.Module) -> Place:
    tensors = [t for t in chain(model.parameters(), model.buffers()) if t.is_floating_point()]
    return (tensors[0].device, tensors[0].dtype) if tensors else (torch.device("cpu"), torch.get_default_dtype())


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]  # a frozen part may differ from the rest
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Like `torch.random.fork_rng` and a seed, but for just the generators that count here."""
    cpu = torch.get_rng_state()
    other = _device_state(device)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        if other is not None:
            torch.cuda.set_rng_state(other, device) if device.type == "cuda" else torch.mps.set_rng_state(other)


def _device_state(device: torch.device) -> Tensor | None:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else None
