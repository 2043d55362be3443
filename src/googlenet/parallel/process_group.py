"""Joining the processes of a launcher, and which of them speaks."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from googlenet.parallel.peer_failure import PeerLostError
from googlenet.parallel.ranks import SINGLE_PROCESS, RankInfo, State, rank_info_from_env
from googlenet.runtime.errors import GoogLeNetError

REPORTED_ELSEWHERE = "another process says so"  # a note on errors


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that the launcher has started, if it has started several.

    What the others than the first write to stdout and stderr meanwhile goes nowhere.  An error
    that this process should not tell, because another one on this machine does, is marked: `told`.
    """
    at = rank_info_from_env(os.environ)
    if at.count == 1:
        yield
        return
    store = connect(at)
    State.current = at
    try:
        with muted(at.rank > 0):
            yield
    except (GoogLeNetError, OSError, KeyboardInterrupt) as error:
        if not claim_report(store):
            error.add_note(REPORTED_ELSEWHERE)
        raise
    finally:
        State.current = SINGLE_PROCESS
        disconnect()


@contextmanager
def muted(yes: bool) -> Iterator[None]:
    if not yes:
        yield
        return
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def reported_elsewhere(error: BaseException) -> bool:
    """Whether another process tells the user of this error."""
    return REPORTED_ELSEWHERE in getattr(error, "__notes__", ())


def claim_report(store: Any) -> bool:
    """Whether no other process on this machine has had an error to tell."""
    machine = os.environ.get("GROUP_RANK") or socket.gethostname()
    try:
        return bool(store.add(f"googlenet/told/{machine}", 1) == 1)
    except RuntimeError:  # the store went with the process that had it, which had its say
        return State.current.rank == 0


def connect(at: RankInfo) -> Any:
    """Join the group; returns its store of keys and values.  Raises GoogLeNetError."""
    import torch
    from torch import distributed
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    backend = "gloo"
    if torch.cuda.is_available():
        cards = torch.cuda.device_count()
        torch.cuda.set_device(at.local_rank % cards)
        if at.local_world_size <= cards:  # NCCL wants a card for each process
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

    lost = isinstance(sys.exception(), PeerLostError)
    if lost and "nccl" in distributed.get_backend():  # it would wait for who does not come
        return
    with suppress(RuntimeError):  # left as it is, Gloo's threads may abort the process at its end
        distributed.destroy_process_group()
