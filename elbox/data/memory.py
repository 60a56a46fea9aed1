"""How much memory there is, so that data that cannot fit are streamed, or refused rather than killed half-way."""

from __future__ import annotations

__all__ = ["available_memory", "check_memory", "fits"]

import contextlib
import os
from pathlib import Path

from elbox.errors import DataError


def available_memory() -> int | None:
    """Bytes that a program can still use: the least of what the system, its control groups (containers, batch jobs) and
    its own limits (`ulimit`) allow; None if unknown.
    """
    found = []
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found.append(1024 * int(next(s for s in lines if s.startswith("MemAvailable")).split()[1]))
    with contextlib.suppress(OSError, ValueError):
        found += _group_memory(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    if not found:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))  # all of it: macOS tells no more
    with contextlib.suppress(ImportError, OSError, ValueError, KeyError):
        found += _own_limits(Path("/proc/self/status"))
    return max(0, min(found)) if found else None


def _group_memory(own: Path, top: Path) -> list[int]:
    """What the control groups that limit a process have left: its own and all around it, of version 2 and version 1.

    In a container the path of the group may be that of the host; the folder at the top is then the container's own.

    Arguments:
        own: File that names the groups, one in a line: `0::/a/b` (version 2) or `4:memory:/a/b` (version 1).
        top: Folder where the groups are mounted, the memory controller of version 1 in `memory`.
    """
    found = []
    for line in os.fsdecode(own.read_bytes()).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount, names = top, ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            mount, names = top / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount):
                with contextlib.suppress(OSError, ValueError):
                    found.append(_left(folder, *names))
    return found


def _left(group: Path, limit: str, usage: str, prefix: str) -> int:
    """What one group has left; pages of files that it may drop count as free."""
    free = int((group / limit).read_text(encoding="ascii"))  # ValueError on "max": no limit
    free -= int((group / usage).read_text(encoding="ascii"))
    stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    return free + sum(int(stat.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))


def _own_limits(status: Path) -> list[int]:
    """What the process's limits of address space and of data leave, where it has such limits."""
    import resource  # not on Windows

    lines = status.read_text(encoding="ascii").splitlines()
    used = {line.partition(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.endswith(" kB")}
    limits = {"VmSize": resource.RLIMIT_AS, "VmData": resource.RLIMIT_DATA}
    soft = {name: resource.getrlimit(limit)[0] for name, limit in limits.items()}
    return [limit - used[name] for name, limit in soft.items() if limit != resource.RLIM_INFINITY]


def fits(need: int) -> bool:
    """Whether so many bytes are available, as far as is known."""
    free = available_memory()
    return free is None or need <= free


def check_memory(need: int, size: int, name: str) -> None:
    """Refuse what does not fit.

    Arguments:
        need: Bytes that loading will take.
        size: Bytes of the file.
        name: File, for the message.
    """
    free = available_memory()
    if free is not None and need > free:
        raise DataError(
            f"got {name} of {_gb(size)}, which needs {_gb(need)} of memory with {_gb(free)} available; expected data "
            "that fit into memory; save them as .npy or .parquet, which are streamed, or take part of the rows"
        )


def _gb(n: int) -> str:
    """Bytes for people."""
    return f"{n / 1e9:.1f} GB" if n >= 1e8 else f"{n / 1e6:.1f} MB"
