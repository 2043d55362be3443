"""Several processes, on one machine or on many, that do one work together.

`torchrun`, or any launcher that sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, starts the same
command several times.  Within `joined` these processes share out work and agree on what happens;
a process by itself, everywhere else, finds that every function here does nothing, or only what it
was given to do.  PyTorch is imported where a group is joined, not before.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from googlenet.errors import GoogLeNetError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

TOLD = "another process says so"  # a note on errors
FOLDER = "googlenet/folder"  # where the launcher's store keeps the folder that its run has made


class LostError(GoogLeNetError):
    """Another process has ended, so that this one cannot go on."""


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
def joined() -> Iterator[None]:
    """Join the processes that the launcher has started, if it has started several.

    What the others than the first write to stdout and stderr meanwhile goes nowhere.  An error
    that this process should not tell, because another one on this machine does, is marked: `told`.
    """
    at = launched(os.environ)
    if at.count == 1:
        yield
        return
    store = connect(at)
    State.here = at
    try:
        with silent(at.rank > 0):
            yield
    except (GoogLeNetError, OSError, KeyboardInterrupt) as error:
        if not is_first_to_tell(store):
            error.add_note(TOLD)
        raise
    finally:
        State.here = ALONE
        disconnect()


@contextmanager
def alone() -> Iterator[None]:
    """In here this process shares nothing."""
    before = State.here
    State.here = replace(before, rank=0, count=1)  # of its machine it has no more than before
    try:
        yield
    finally:
        State.here = before


@contextmanager
def silent(yes: bool) -> Iterator[None]:
    if not yes:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def told(error: BaseException) -> bool:
    """Whether another process tells the user of this error."""
    return TOLD in getattr(error, "__notes__", ())


def is_first_to_tell(store: Any) -> bool:
    """Whether no other process on this machine has had an error to tell."""
    machine = os.environ.get("GROUP_RANK") or socket.gethostname()
    try:
        return bool(store.add(f"googlenet/told/{machine}", 1) == 1)
    except RuntimeError:  # the store went with the process that had it, which had its say
        return State.here.rank == 0


def connect(at: Place) -> Any:
    """Join the group; returns its store of keys and values.  Raises GoogLeNetError."""
    import torch
    from torch import distributed
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    backend = "gloo"
    if torch.cuda.is_available():
        cards = torch.cuda.device_count()
        torch.cuda.set_device(at.local_rank % cards)
        if at.local_count <= cards:  # NCCL wants a card for each process
            backend = "cpu:gloo,cuda:nccl"
    try:
        store, rank, count = next(rendezvous("env://"))
        # An elastic launcher's store outlives the processes: what those of an earlier attempt wrote
        # there, these would take for each other's.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"googlenet/attempt/{attempt}", store)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise GoogLeNetError(
            f"process {at.rank} of {at.count} cannot join the others at {where} ({reason})"
        ) from error
    return store


def disconnect() -> None:
    from torch import distributed

    if not isinstance(sys.exception(), LostError):  # NCCL would wait for who does not come
        with suppress(RuntimeError):
            distributed.destroy_process_group()


@contextmanager
def meeting() -> Iterator[None]:
    """Says in a sentence that another process did not come.  Raises LostError."""
    try:
        yield
    except RuntimeError as error:
        raise LostError("another process of this run has ended") from error


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


def added(values: Tensor) -> Tensor:
    """Sums over the processes, in place."""
    if count() > 1:
        from torch import distributed

        with meeting():
            distributed.all_reduce(values)
    return values


def add_up(tensors: Iterable[Tensor]) -> None:
    """Set each tensor, float32 on one device, to its sum over the processes, in one message."""
    if count() > 1:
        in_one(list(tensors), added)


def spread(tensors: Iterable[Tensor]) -> None:
    """Set each tensor to the first process's, in one message a type."""
    if count() == 1:
        return
    from torch import distributed

    def send(flat: Tensor) -> Tensor:
        with meeting():
            distributed.broadcast(flat, src=0)
        return flat

    by_type: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault((tensor.dtype, tensor.device), []).append(tensor)
    for group in by_type.values():
        in_one(group, send)


def in_one(tensors: list[Tensor], change: Callable[[Tensor], Tensor]) -> None:
    """Change tensors as if they were a single one, whatever their layouts in memory."""
    if not tensors:
        return
    import torch

    with torch.no_grad():
        flat = change(torch.cat([tensor.reshape(-1) for tensor in tensors]))
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))


def share(items: Sequence[T], block: int = 1) -> list[T]:
    """This process's part of the items: every `count`th block of so many."""
    at = State.here
    return [item for i, item in enumerate(items) if i // block % at.count == at.rank]


def made_folder(folder: Path) -> None:
    """Let the launcher know, if it can restart this run, that it has made this folder."""
    store = launcher_store()
    if store is not None:
        store.set(FOLDER, str(folder.absolute()))


def folder_made_before() -> Path | None:
    """The folder that this run has made before the launcher restarted its processes.

    A launcher's first start never finds one, nor does a start after one that was refused.
    """
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        return None
    store = launcher_store()
    return Path(store.get(FOLDER).decode()) if store is not None and store.check([FOLDER]) else None


def launcher_store() -> Any:
    """The keys and values that outlive the processes of an elastic launcher; None without one."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    try:
        return TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), wait_for_workers=False
        )
    except RuntimeError:
        return None
