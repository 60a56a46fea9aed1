"""The machine and the versions that the numbers belong to."""

from __future__ import annotations

__all__ = ["describe"]

import os
import platform
from importlib import metadata
from pathlib import Path


def describe() -> dict[str, str]:
    """Processor, cores, what it can multiply, memory, versions; no date and no names."""
    import torch

    flags, model = _processor()
    bf16 = [name for name in ("avx512f", "avx512_bf16", "amx_bf16", "amx_tile") if name in flags]
    about = {
        "processor": f"{model or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "instructions": ", ".join(bf16) or "no AVX-512",
        "memory": f"{_memory():.0f} GiB",
        "system": f"{platform.system()}, Python {platform.python_version()}",
    }
    return about | {"versions": ", ".join(f"{name} {_version(name)}" for name in ("torch", "jax", "optax", "pythae"))}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _processor() -> tuple[set[str], str]:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return set(), platform.processor()
    rows = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    about = {name.strip(): value.strip() for name, value in rows.items()}
    return set(about.get("flags", "").split()), about.get("model name", "")


def _memory() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError):
        return 0.0
