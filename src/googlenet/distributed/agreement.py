"""Values, results and errors that are the same in all processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from googlenet.distributed.lost import meeting
from googlenet.distributed.place import State, alone, count, rank
from googlenet.distributed.tensors import added
from googlenet.errors import GoogLeNetError

T = TypeVar("T")


def exchange(value: T) -> list[T]:
    """Every process's value, in their order, to all of them."""
    if count() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * count()
    with meeting():
        distributed.all_gather_object(values, value)
    return values


def first(work: Callable[[], T]) -> T:
    """What `work` gives in the first process, which alone does it; or its error, in all."""
    if count() == 1:
        return work()
    outcome: Outcome[T] = attempt(work) if rank() == 0 else (None, None)
    return settled([broadcast(outcome)])


def kept(work: Callable[[], T]) -> T | None:
    """The same, but the result stays in the first process: None elsewhere."""
    found: list[T] = []
    first(lambda: found.append(work()))
    return found[0] if found else None


def together(work: Callable[[], T]) -> T:
    """What `work` gives in this process; if it fails in any, the first such error in all.

    `work` is done by each process for itself: nothing within it may be agreed upon.
    """
    if count() == 1:
        return work()
    value, error = attempt(work)
    settled(exchange((None, error)))
    return value  # type: ignore[return-value]


Outcome = tuple[T | None, Exception | None]


def attempt(work: Callable[[], T]) -> Outcome[T]:
    """What comes of `work`, done alone."""
    at = State.here
    with alone():
        try:
            return work(), None
        except Exception as error:
            if at.rank and isinstance(error, GoogLeNetError):
                error.args = (f"{error} (process {at.rank} of {at.count})",)
            return None, error


def settled(outcomes: Sequence[Outcome[T]]) -> T:
    """The first result; raises the first error."""
    for _, error in outcomes:
        if error is not None:
            raise error
    return outcomes[0][0]  # type: ignore[return-value]


def broadcast(value: T) -> T:
    """The first process's value."""
    from torch import distributed

    values = [value]
    with meeting():
        distributed.broadcast_object_list(values, src=0)
    return values[0]


def require_same(value: object, what: str) -> None:
    """Raises GoogLeNetError where `what`, of which this is a mark, is not that of the others."""
    for at, found in enumerate(exchange(value)):
        if found != value:
            raise GoogLeNetError(f"{what}: must be the same in all processes, are not in {at}")


def any_of(*flags: bool) -> tuple[bool, ...]:
    """Each flag, whether it is set in any process."""
    if count() == 1:
        return flags
    import torch

    return tuple(value > 0 for value in added(torch.tensor(flags, dtype=torch.float64)).tolist())
