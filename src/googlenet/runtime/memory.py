"""How much memory there is to be had, containers and their limits considered."""

from __future__ import annotations

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
