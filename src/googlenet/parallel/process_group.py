"""Joining a launcher's process group; only one process per machine reports an error."""

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
    """Join the process group if the launcher has started several processes.

    stdout and stderr of all ranks but 0 are discarded.  An error that another process on this
    machine reports is marked: see `reported_elsewhere`.
    """
    at = rank_info_from_env(os.environ)
    if at.world_size == 1:
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
    """Whether another process reports this error to the user."""
    return REPORTED_ELSEWHERE in getattr(error, "__notes__", ())


def claim_report(store: Any) -> bool:
    """Whether this is the first process on this machine to report an error."""
    machine = os.environ.get("GROUP_RANK") or socket.gethostname()
    try:
        return bool(store.add(f"googlenet/told/{machine}", 1) == 1)
    except RuntimeError:  # the store's process has ended, and has reported
        return State.current.rank == 0


def connect(at: RankInfo) -> Any:
    """Join the group; returns its key-value store.  Raises GoogLeNetError."""
    import torch
    from torch import distributed
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.rendezvous import rendezvous

    backend = "gloo"
    if torch.cuda.is_available():
        cards = torch.cuda.device_count()
        torch.cuda.set_device(at.local_rank % cards)
        if at.local_world_size <= cards:  # NCCL needs one GPU per process
            backend = "cpu:gloo,cuda:nccl"
    try:
        store, rank, count = next(rendezvous("env://"))
        # An elastic launcher's store outlives the processes: keep attempts apart.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = PrefixStore(f"googlenet/attempt/{attempt}", store)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise GoogLeNetError(
            f"process {at.rank} of {at.world_size} cannot join the others at {where} ({reason})"
        ) from error
    return store


def disconnect() -> None:
    from torch import distributed

    lost = isinstance(sys.exception(), PeerLostError)
    if lost and "nccl" in distributed.get_backend():  # it would wait for the lost process
        return
    with suppress(RuntimeError):  # otherwise Gloo's threads may abort the process at exit
        distributed.destroy_process_group()
