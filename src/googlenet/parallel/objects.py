"""Values, results and errors that are the same in all processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from googlenet.parallel.peer_failure import collective
from googlenet.parallel.ranks import State, as_single_process, rank, world_size
from googlenet.parallel.tensors import all_reduce
from googlenet.runtime.errors import GoogLeNetError

T = TypeVar("T")


def all_gather(value: T) -> list[T]:
    """Every process's value, in their order, to all of them."""
    if world_size() == 1:
        return [value]
    from torch import distributed

    values: list[Any] = [None] * world_size()
    with collective():
        distributed.all_gather_object(values, value)
    return values


def on_rank0(work: Callable[[], T]) -> T:
    """What `work` gives in the first process, which alone does it; or its error, in all."""
    if world_size() == 1:
        return work()
    outcome: Outcome[T] = capture(work) if rank() == 0 else (None, None)
    return unwrap([broadcast(outcome)])


def on_rank0_only(work: Callable[[], T]) -> T | None:
    """The same, but the result stays in the first process: None elsewhere."""
    found: list[T] = []
    on_rank0(lambda: found.append(work()))
    return found[0] if found else None


def on_all_ranks(work: Callable[[], T]) -> T:
    """What `work` gives in this process; if it fails in any, the first such error in all.

    `work` is done by each process for itself: nothing within it may be agreed upon.
    """
    if world_size() == 1:
        return work()
    value, error = capture(work)
    unwrap(all_gather((None, error)))
    return value  # type: ignore[return-value]


Outcome = tuple[T | None, Exception | None]


def capture(work: Callable[[], T]) -> Outcome[T]:
    """What comes of `work`, done alone."""
    at = State.current
    with as_single_process():
        try:
            return work(), None
        except Exception as error:
            if at.rank and isinstance(error, GoogLeNetError):
                error.args = (f"{error} (process {at.rank} of {at.count})",)
            return None, error


def unwrap(outcomes: Sequence[Outcome[T]]) -> T:
    """The first result; raises the first error."""
    for _, error in outcomes:
        if error is not None:
            raise error
    return outcomes[0][0]  # type: ignore[return-value]


def broadcast(value: T) -> T:
    """The first process's value."""
    from torch import distributed

    values = [value]
    with collective():
        distributed.broadcast_object_list(values, src=0)
    return values[0]


def require_equal_across_ranks(value: object, what: str) -> None:
    """Raises GoogLeNetError where `what`, of which this is a mark, is not that of the others."""
    for at, found in enumerate(all_gather(value)):
        if found != value:
            raise GoogLeNetError(f"{what}: must be the same in all processes, are not in {at}")


def any_rank(*flags: bool) -> tuple[bool, ...]:
    """Each flag, whether it is set in any process."""
    if world_size() == 1:
        return flags
    import torch

    return tuple(
        value > 0 for value in all_reduce(torch.tensor(flags, dtype=torch.float64)).tolist()
    )
