"""What all tests share: one thread for each worker, seeds, the folder of real data, checked types."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

torch.set_num_threads(1)  # pytest-xdist has a worker for each core already

STRICT = jaxtyping.jaxtyped


def checked_unless_compiling(*, typechecker: Any) -> Callable[[Any], Any]:
    """`jaxtyping.jaxtyped`, but invisible to torch.compile, which would break its graph at every check."""

    def decorate(function: Any) -> Any:
        if isinstance(function, type) or torch.compiler.is_compiling():
            return function  # of a class, the methods are decorated one by one
        strict = STRICT(typechecker=typechecker)(function)
        if not callable(function):
            return strict

        @functools.wraps(function)
        def either(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs) if torch.compiler.is_compiling() else strict(*args, **kwargs)

        return either

    return decorate


# Under pytest every call inside elbox is checked against its annotations. An int is a float, as in PEP 484; the checks
# draw no random numbers, which would move Python's generator under a test of resuming. Before elbox is first imported.
jaxtyping.jaxtyped = checked_unless_compiling
jaxtyping.install_import_hook(
    "elbox", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True, is_random=False))"
)


@pytest.fixture(autouse=True)
def seed() -> int:
    """Every test starts from the same random state; a test about seeds sets its own."""
    torch.manual_seed(0)
    return 0


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; what needs it is skipped where there is none."""
    folder = os.environ.get("ELBOX_DATA")
    if not folder:
        pytest.skip("needs real data: set ELBOX_DATA to the folder that has mnist.npz and the others")
    return Path(folder)
