"""Leaving the group when another process has ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch.distributed as processes
from torch.distributed import HashStore  # type: ignore[attr-defined]

from googlenet.parallel.peer_failure import PeerLostError
from googlenet.parallel.process_group import disconnect


@pytest.fixture(autouse=True)
def group() -> Iterator[None]:
    """A group of this process alone, with gloo."""
    processes.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    if processes.is_initialized():
        processes.destroy_process_group()


def leave_lost() -> None:
    try:
        raise PeerLostError("another process has ended")
    except PeerLostError:
        disconnect()


def test_gloo_is_left_in_order() -> None:
    """Its threads abort the process at its end otherwise, once in a dozen times."""
    leave_lost()
    assert not processes.is_initialized()


def test_nccl_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "get_backend", lambda: "cpu:gloo,cuda:nccl")
    leave_lost()
    assert processes.is_initialized()
