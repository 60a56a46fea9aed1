"""The only place that writes files: atomic writes, checkpoints that resume to the bit, and the log of metrics.

A write goes to a temporary file in the same folder, is forced to the disk and then renamed, so that a file is either
the old one or the new one, whole, also after a power cut or on a full disk. Tensors are safetensors, everything else is
JSON; nothing here can run code that a file names. A checkpoint is one safetensors file whose metadata hold a JSON state
and a checksum over state and tensors.
"""

from __future__ import annotations

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Metrics",
    "read_json",
    "read_rows",
    "read_tensors",
    "write_bytes",
    "write_json",
    "write_tensors",
    "write_text",
]

import json
import math
import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from elbox.errors import RunError


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; after an error the old file, if there was one, is still there.

    Raises:
        RunError: if the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; numbers that JSON lacks (NaN, infinities) become null."""
    write_text(path, json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as a safetensors file, atomically. Tensors that share memory are written each on its own."""
    own = {name: t.detach().to("cpu", copy=True).contiguous() for name, t in tensors.items()}
    write_bytes(path, save(own, dict(metadata) if metadata else None))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        RunError: if it is missing, or is not a whole safetensors file.
    """
    try:
        data = path.read_bytes()
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except OSError as error:
        raise RunError(f"could not read {path} ({error.strerror}); expected a safetensors file") from error
    except (SafetensorError, ValueError) as error:
        raise RunError(f"got a damaged file {path} ({error}); expected a whole safetensors file") from error
    return tensors, dict(header.get("__metadata__", {}))


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        RunError: if it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"could not read {path} ({error.strerror}); expected a JSON file") from error
    except ValueError as error:
        raise RunError(f"got a damaged file {path} ({error}); expected JSON") from error


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file with one JSON object a line, up to one that was cut off; none if there is no file."""
    rows: list[dict[str, Any]] = []
    with suppress(ValueError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
            rows.append(json.loads(line))  # noqa: PERF401, what was read before an error must stay
    return rows


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run at the end of a step.

    Arguments:
        state: Plain JSON values; `state["step"]` is the number of steps done.
        tensors: All tensors by name: `model/…`, `ema/…`, `best/…`, `optimizer/…`, `rng/…`, `logs`; of a process r > 0
            its own buffers and generators, `model<r>/…` and `rng<r>/…`.
    """

    state: dict[str, Any]
    tensors: dict[str, Tensor]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix/`, without it."""
        return {name[len(prefix) + 1 :]: t for name, t in self.tensors.items() if name.startswith(f"{prefix}/")}


class Checkpoints:
    """The checkpoints of one run, of which the last two are kept.

    Arguments:
        folder: Where they lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last: Path | None = None

    def paths(self) -> list[Path]:
        """The checkpoint files, oldest first."""
        return sorted(self.folder.glob("step-*.safetensors"))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove all but the last two."""
        text = json.dumps(checkpoint.state, allow_nan=False)
        path = self.folder / f"step-{checkpoint.state['step']:010d}.safetensors"
        metadata = {"state": text, "crc32": str(_checksum(text, checkpoint.tensors))}
        write_tensors(path, checkpoint.tensors, metadata)
        self.last = path
        for old in self.paths()[:-2]:
            old.unlink(missing_ok=True)

    def load(self, warn: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole, or `None` where there are none; files that are passed over are told of.

        Raises:
            RunError: if there are checkpoints, but all are damaged.
        """
        for stale in self.folder.glob(".step-*.tmp"):  # left by a process that was killed while writing
            stale.unlink(missing_ok=True)
        damaged: list[Path] = []
        for path in reversed(self.paths()):
            try:
                checkpoint = _read(path)
            except RunError as error:
                warn(f"{error}; going back to the checkpoint before it")
                damaged.append(path)
                continue
            self.last = path
            for bad in damaged:  # else one of the two that are kept would be of no use
                bad.unlink(missing_ok=True)
            return checkpoint
        if damaged:
            raise RunError(
                f"got only damaged checkpoints in {self.folder}; expected at least one whole; start the run again"
            )
        return None


class Metrics:
    """Rows of numbers about a run: a list in memory and, where there is a folder, one JSON object a line in a file.

    Arguments:
        path: The file, or `None`.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; `sync` makes sure that it is on the disk."""
        self.rows.append(row)
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(_plain(row), allow_nan=False) + "\n")
            except OSError as error:
                raise _failed(self.path, error) from error

    def sync(self) -> None:
        """Force all rows to the disk, before a checkpoint that counts on them."""
        if self.path is not None and self.path.exists():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())

    def rewind(self, step: int) -> None:
        """Read the file and drop the rows after `step`, and a last line that was cut off while it was written."""
        if self.path is not None and self.path.exists():
            self.rows = [row for row in read_rows(self.path) if row["step"] <= step]
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.rows))


def _read(path: Path) -> Checkpoint:
    tensors, metadata = read_tensors(path)
    text = metadata.get("state", "")
    if metadata.get("crc32") != str(_checksum(text, tensors)):
        raise RunError(f"got a damaged file {path} (its checksum differs); expected it as it was written")
    return Checkpoint(json.loads(text), tensors)


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> int:
    total = zlib.crc32(text.encode())
    for name in sorted(tensors):
        flat = tensors[name].detach().to("cpu").contiguous().reshape(-1)
        total = zlib.crc32(flat.view(torch.uint8).numpy().data, zlib.crc32(name.encode(), total))
    return total


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def _failed(path: Path, error: OSError) -> RunError:
    return RunError(
        f"could not write {path} ({error.strerror or error}); free space or choose another folder, then resume"
    )


def _sync_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):  # elsewhere a folder cannot be opened, and a rename is as durable as it gets
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
