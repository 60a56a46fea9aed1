"""Every global random number generator that a training step may draw from, saved and put back to the bit.

Plain torch draws from the generator of the CPU or of the accelerator; a user's own module or data code may also use
Python's and numpy's global generators, so these belong to the state of a run too. The order of the examples does not:
it is drawn for each epoch from a seed of its own (`elbox.train.batches`).
"""

from __future__ import annotations

__all__ = ["capture", "restore", "seed_all", "scope"]

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def _pack(value: object) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _unpack(tensor: Tensor) -> list[Any]:
    return list(json.loads(bytes(tensor.tolist())))


def capture(device: torch.device) -> dict[str, Tensor]:
    """The state of all global generators, as uint8 tensors on the CPU.

    Arguments:
        device: The device whose generator counts beside the CPU's.
    """
    version, keys, gauss = random.getstate()
    name, words, position, has_gauss, value = np.random.get_state()  # the legacy form is a tuple of plain values
    state = {
        "torch": torch.get_rng_state(),
        "python": _pack([version, list(keys), gauss]),
        "numpy": _pack([name, np.asarray(words).tolist(), position, has_gauss, value]),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore(state: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `capture` returned; generators that it does not name stay as they are."""
    torch.set_rng_state(state["torch"])
    version, keys, gauss = _unpack(state["python"])
    random.setstate((version, tuple(keys), gauss))
    name, words, position, has_gauss, value = _unpack(state["numpy"])
    np.random.set_state((name, np.array(words, dtype=np.uint32), position, has_gauss, value))
    if "cuda" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    if "mps" in state and device.type == "mps":
        torch.mps.set_rng_state(state["mps"])


def seed_all(seed: int) -> None:
    """Seed torch (all devices), Python and numpy with one number ≥ 0."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


@contextmanager
def scope(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from generators seeded with `seed` inside the block; outside it nobody can tell that anything was drawn."""
    before = capture(device)
    seed_all(seed)
    try:
        yield
    finally:
        restore(before, device)
