"""Which of how many processes this is, and its part of the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from googlenet.runtime.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class RankInfo:
    """Which of how many processes this is, and which of those on its machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_world_size: int = 1


SINGLE_PROCESS = RankInfo()


class State:
    """What `joined` and `alone` change."""

    current = SINGLE_PROCESS


def rank() -> int:
    return State.current.rank


def world_size() -> int:
    """How many processes share the work."""
    return State.current.count


def local_world_size() -> int:
    """How many of them are on this machine, and share its memory."""
    return State.current.local_world_size


def rank_info_from_env(environment: Mapping[str, str]) -> RankInfo:
    """The place that a launcher has given to this process; alone where there was none.

    Raises UsageError for variables that cannot be.
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
    if at.rank >= at.count:
        raise UsageError(f"RANK must be below WORLD_SIZE, {at.count}, got {at.rank}")
    if at.count > 1:
        for name in ("MASTER_ADDR", "MASTER_PORT"):
            if not environment.get(name):
                raise UsageError(f"{name} must be in the environment beside WORLD_SIZE, is not")
    return at


@contextmanager
def as_single_process() -> Iterator[None]:
    """In here this process shares nothing."""
    before = State.current
    State.current = replace(before, rank=0, count=1)  # of its machine it has no more than before
    try:
        yield
    finally:
        State.current = before


def shard(items: Sequence[T], block: int = 1) -> list[T]:
    """This process's part of the items: every `count`th block of so many."""
    at = State.current
    return [item for i, item in enumerate(items) if i // block % at.count == at.rank]
