"""A body that arrives in time, or too late."""

from __future__ import annotations

import asyncio
import socket

import pytest

from googlenet.serving.http_error import HTTPError
from googlenet.serving.request_body import arrived_by


async def stalled(sent: bytes) -> bytes | None:
    """What `arrived_by` says after a minute in which this process had no processor.

    The bytes came meanwhile: the loop finds them as it finds the deadline, both at once.
    """
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    def stall() -> None:
        now = loop.time() + 60
        loop.time = lambda: now  # type: ignore[method-assign]
        theirs.send(sent)

    with ours, theirs:
        loop.call_soon(stall)
        return await arrived_by(loop.time() + 30, loop.sock_recv(ours, 9))


def test_a_chunk_that_came_while_the_process_had_no_processor_counts() -> None:
    assert asyncio.run(stalled(b"x")) == b"x"


def test_a_chunk_that_does_not_come_is_too_slow() -> None:
    with pytest.raises(HTTPError, match="too slowly"):
        asyncio.run(stalled(b""))
