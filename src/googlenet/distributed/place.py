"""Which of how many processes this is, and its part of the work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from googlenet.errors import UsageError

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is, and which of those on its machine."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1


ALONE = Place()


class State:
    """What `joined` and `alone` change."""

    here = ALONE


def rank() -> int:
    return State.here.rank


def count() -> int:
    """How many processes share the work."""
    return State.here.count


def local_count() -> int:
    """How many of them are on this machine, and share its memory."""
    return State.here.local_count


def launched(environment: Mapping[str, str]) -> Place:
    """The place that a launcher has given to this process; alone where there was none.

    Raises UsageError for variables that cannot be.
    """
    if "RANK" not in environment or "WORLD_SIZE" not in environment:
        return ALONE

    def number(name: str, default: int | None = None) -> int:
        text = environment.get(name, str(default))
        if not (text.isascii() and text.isdigit()):
            raise UsageError(f"{name} in the environment must be a number, got {text!r}")
        return int(text)

    at = Place(
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
def alone() -> Iterator[None]:
    """In here this process shares nothing."""
    before = State.here
    State.here = replace(before, rank=0, count=1)  # of its machine it has no more than before
    try:
        yield
    finally:
        State.here = before


def share(items: Sequence[T], block: int = 1) -> list[T]:
    """This process's part of the items: every `count`th block of so many."""
    at = State.here
    return [item for i, item in enumerate(items) if i // block % at.count == at.rank]
