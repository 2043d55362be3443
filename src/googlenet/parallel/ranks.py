"""Rank and world size, and this process's shard of the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from googlenet.runtime.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class RankInfo:
    """Rank and world size, global and on this machine."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_world_size: int = 1


SINGLE_PROCESS = RankInfo()


class State:
    """Changed by `process_group` and `as_single_process`."""

    current = SINGLE_PROCESS


def rank() -> int:
    return State.current.rank


def world_size() -> int:
    """The number of processes."""
    return State.current.world_size


def local_world_size() -> int:
    """The number of processes on this machine."""
    return State.current.local_world_size


def rank_info_from_env(environment: Mapping[str, str]) -> RankInfo:
    """The rank that a launcher has set in the environment; SINGLE_PROCESS without one.

    Raises UsageError for invalid variables.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return SINGLE_PROCESS

    def number(name: str, default: int | None = None) -> int:
        text = environment.get(name, str(default))
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"{name} in the environment must be a number, got {text!r}")
        return int(text)

    at = RankInfo(
        number("RANK"), number("WORLD_SIZE"), number("LOCAL_RANK", 0), number("LOCAL_WORLD_SIZE", 1)
    )
    if at.rank >= at.world_size:
        raise UsageError(f"RANK must be below WORLD_SIZE, {at.world_size}, got {at.rank}")
    if at.world_size > 1:
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            if not environment.get(name):
                raise UsageError(f"{name} must be set in the environment along with WORLD_SIZE")
    return at


@contextmanager
def as_single_process() -> Iterator[None]:
    """Within this context, rank is 0 and world size 1."""
    before = State.current
    State.current = replace(before, rank=0, world_size=1)  # memory is still shared
    try:
        yield
    finally:
        State.current = before


def shard(items: Sequence[T], block: int = 1) -> list[T]:
    """This process's shard of the items, dealt out in blocks."""
    at = State.current
    return [item for i, item in enumerate(items) if i // block % at.world_size == at.rank]
