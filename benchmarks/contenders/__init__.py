"""The contenders: other ways to train the same model on the same data, each a function `train(problem, gate)`."""

from __future__ import annotations

__all__ = ["SCORING", "TRAINING", "Contender"]

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """One line of a workload's table.

    Arguments:
        title: For people.
        where: `module:function`.
        options: Further arguments of the function.
        precision: `"32"` or `"bf16"`: which matrix-product limit it is held against; empty for the one it reports.
        limit: Whether it is a limit and no contender.
    """

    title: str
    where: str
    options: dict[str, Any] = field(default_factory=dict)
    precision: str = "32"
    limit: bool = False


_HERE = "benchmarks.contenders"

TRAINING = {
    "elbox": Contender("elbox, as it comes", f"{_HERE}.ours:train", precision=""),
    "elbox32": Contender("elbox, fp32", f"{_HERE}.ours:train", {"precision": "32"}),
    "usual": Contender("elbox, with the peers' gradient", f"{_HERE}.ours:train", {"usual": True}, precision=""),
    "jax": Contender("JAX, fp32", f"{_HERE}.jax:train"),
    "compiled32": Contender("torch, resident, compiled, fp32", f"{_HERE}.compiled:train"),
    "compiled16": Contender("torch, resident, compiled, bf16", f"{_HERE}.compiled:train", {"bf16": True}, "bf16"),
    "plain": Contender("torch, plain loop (PyTorch's example)", f"{_HERE}.plain:train"),
    "pythae": Contender("Pythae", f"{_HERE}.pythae:train"),
    "limit32": Contender("matrix products alone, fp32", "benchmarks.limit:train", {}, "32", limit=True),
    "limit16": Contender("matrix products alone, bf16", "benchmarks.limit:train", {"bf16": True}, "bf16", limit=True),
}

SCORING = {
    "elbox": Contender("elbox, as it comes", f"{_HERE}.ours:score", precision=""),
    "jax": Contender("JAX, fp32", f"{_HERE}.jax:score"),
    "compiled32": Contender("torch, compiled, fp32", f"{_HERE}.compiled:score"),
    "compiled16": Contender("torch, compiled, bf16", f"{_HERE}.compiled:score", {"bf16": True}, "bf16"),
    "plain": Contender("torch, eager, fp32", f"{_HERE}.plain:score"),
    "pythae": Contender("Pythae, get_nll", f"{_HERE}.pythae:score"),
    "limit32": Contender("matrix products alone, fp32", "benchmarks.limit:score", {}, "32", limit=True),
    "limit16": Contender("matrix products alone, bf16", "benchmarks.limit:score", {"bf16": True}, "bf16", limit=True),
}
