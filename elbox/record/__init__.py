"""Computations written down once, changed where that makes them faster, and compiled."""

from __future__ import annotations

__all__ = ["cpu_has_bf16", "missing_compiler", "record", "replayed", "trace"]

from elbox.record.products import cpu_has_bf16
from elbox.record.recording import missing_compiler, record, replayed, trace
