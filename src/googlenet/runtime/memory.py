"""How much memory there is to be had, containers and their limits considered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil

# Of a control group, version 2 and version 1: the files of its limit and its use, and the part
# of the use that the system gives up when asked.
VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still take: what is free, or what its control groups leave.

    `root` is where `proc` and `sys` lie.
    """
    return max(0, min(int(psutil.virtual_memory().available), *cgroups_headroom(root), 2**63))


def cgroups_headroom(root: Path) -> Iterator[int]:
    """Bytes left to each group that this process is in and that has a limit."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            yield from cgroup_headroom(root / "sys/fs/cgroup", path, VERSION_2)
        elif "memory" in controllers.split(","):
            yield from cgroup_headroom(root / "sys/fs/cgroup/memory", path, VERSION_1)


def cgroup_headroom(mount: Path, path: str, names: tuple[str, str, str]) -> Iterator[int]:
    """Bytes left to a group and to those above it, whose limits hold for it too.

    Inside a container the path may be the host's, of which only the root is there.
    """
    group = mount / path.strip("/")
    for folder in (group, *group.parents):
        room = headroom(folder, names)
        if room is not None:
            yield room
        if folder == mount:
            return


def headroom(folder: Path, names: tuple[str, str, str]) -> int | None:
    """Bytes left to one group; None where it has no limit."""
    limit, used, kept = names
    try:
        most = int((folder / limit).read_text())  # "max" where there is none
        now = int((folder / used).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, most - now + int(stat.get(kept, 0)))
    except (OSError, ValueError):
        return None


# What says so but a MemoryError: PyTorch's allocator, CUDA's, and C++ without a handler.
OUT_OF_MEMORY = re.compile(r"allocate memory|out of memory|bad_?alloc", re.IGNORECASE)
REQUESTED = re.compile(r"allocate (?P<size>[\d.]+) ?(?P<unit>bytes|[KMGT]iB)", re.IGNORECASE)
UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def out_of_memory(error: BaseException) -> str | None:
    """The sentence for a failed allocation, of whatever library; None for another error.

    An error that was raised from a failed allocation counts as one.
    """
    text = str(error)
    if not (isinstance(error, MemoryError) or OUT_OF_MEMORY.search(text)):
        return out_of_memory(error.__cause__) if error.__cause__ else None
    found = REQUESTED.search(text)
    if found is None:
        return "out of memory"
    size = float(found["size"]) * UNITS[found["unit"].lower()]
    return f"out of memory ({size / 1e9:.1f} GB more were requested)"
