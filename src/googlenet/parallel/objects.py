"""Collectives on Python objects: values, results and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from googlenet.parallel.peer_failure import collective
from googlenet.parallel.ranks import State, as_single_process, rank, world_size
from googlenet.parallel.tensors import all_reduce
from googlenet.runtime.errors import GoogLeNetError

T = TypeVar("T")


def all_gather(value: T) -> list[T]:
    """Every process's value, in rank order."""
    if world_size() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * world_size()
    with collective():
        distributed.all_gather_object(values, value)
    return values


def on_rank0(work: Callable[[], T]) -> T:
    """Run `work` on rank 0; returns its result, or raises its error, on all ranks."""
    if world_size() == 1:
        return work()
    outcome: Outcome[T] = capture(work) if rank() == 0 else (None, None)
    return unwrap([broadcast(outcome)])


def on_rank0_only(work: Callable[[], T]) -> T | None:
    """Like `on_rank0`, but the result stays on rank 0: None elsewhere."""
    found: list[T] = []
    on_rank0(lambda: found.append(work()))
    return found[0] if found else None


def on_all_ranks(work: Callable[[], T]) -> T:
    """Run `work` on every rank; if it fails on any, raises the first error on all.

    `work` runs as in a single process: it must not use collectives.
    """
    if world_size() == 1:
        return work()
    value, error = capture(work)
    unwrap(all_gather((None, error)))
    return value  # type: ignore[return-value]


Outcome = tuple[T | None, Exception | None]


def capture(work: Callable[[], T]) -> Outcome[T]:
    """The result or the exception of `work`, run as in a single process."""
    at = State.current
    with as_single_process():
        try:
            return work(), None
        except Exception as error:
            if at.rank and isinstance(error, GoogLeNetError):
                error.args = (f"{error} (process {at.rank} of {at.world_size})",)
            return None, error


def unwrap(outcomes: Sequence[Outcome[T]]) -> T:
    """Raise the first error, if any, else return the first result."""
    for _, error in outcomes:
        if error is not None:
            raise error
    return outcomes[0][0]  # type: ignore[return-value]


def broadcast(value: T) -> T:
    """Rank 0's value."""
    from torch import distributed

    values = [value]
    with collective():
        distributed.broadcast_object_list(values, src=0)
    return values[0]


def require_equal_across_ranks(value: object, what: str) -> None:
    """Raises GoogLeNetError if `value`, which identifies `what`, differs between ranks."""
    for at, found in enumerate(all_gather(value)):
        if found != value:
            raise GoogLeNetError(
                f"{what}: must be the same in all processes, but differ in process {at}"
            )


def any_rank(*flags: bool) -> tuple[bool, ...]:
    """For each flag, whether it is set on any rank."""
    if world_size() == 1:
        return flags
    import torch

    return tuple(
        value > 0 for value in all_reduce(torch.tensor(flags, dtype=torch.float64)).tolist()
    )
