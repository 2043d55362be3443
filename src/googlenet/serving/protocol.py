"""uvicorn's HTTP connection, with deadlines for its client and refusals in JSON.

uvicorn itself waits for ever for a request's headers and for its answer to be taken.
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from googlenet.serving.middleware import LINGER, SECURITY, log
from googlenet.serving.service import Service

MAX_HEADERS = 16 * 1024  # bytes


class Connection(H11Protocol):
    """One client.  The application's lifespan state holds the service, whose limits hold here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        service: Service = self.app_state["service"]
        self.limits, self.metrics = service.limits, service.metrics
        self.deadline: asyncio.TimerHandle | None = None  # for the headers of a request
        self.taking: asyncio.TimerHandle | None = None  # for taking an answer
        self.heard = False  # anything of a request whose headers are not complete
        self.refused = False

    @property
    def waiting(self) -> bool:
        """Whether a request's headers are what comes next; later the application's limits hold."""
        answering = self.cycle is not None and not self.cycle.response_complete
        return not (answering or self.refused or self.transport.is_closing())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        most = self.limits.connections
        if len(self.connections) > 2 * most:  # they do not even take their refusals
            transport.abort()
        elif len(self.connections) > most:
            self.refuse(503, f"at most {most} connections may be open")
        self.set_deadline()

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        self.heard = True
        super().data_received(data)
        self.set_deadline()

    def on_response_complete(self) -> None:
        self.heard = False
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self.watch_taking()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self.deadline, self.taking):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def set_deadline(self) -> None:
        """Give the client its time for headers, unless they are there or time is running."""
        if not self.waiting:
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None
        elif self.deadline is None:
            self.deadline = self.loop.call_later(self.limits.read_seconds, self.headers_late)

    def headers_late(self) -> None:
        self.deadline = None
        if self.waiting and self.heard:
            self.refuse(408, "the request's headers came too slowly")
        elif self.waiting:  # a connection that was only opened, as browsers do
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.watch_taking()

    def watch_taking(self) -> None:
        """Hang up unless the client goes on taking its answer."""
        if self.taking is None:
            left = self.transport.get_write_buffer_size()
            seconds = self.limits.read_seconds
            self.taking = self.loop.call_later(seconds, self.taken_less_than, left)

    def taken_less_than(self, before: int) -> None:
        self.taking = None
        left = self.transport.get_write_buffer_size()
        if left >= before > 0:
            self.transport.abort()
        elif left:
            self.watch_taking()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no HTTP; uvicorn calls this where it handles h11's error."""
        if self.cycle is not None and self.cycle.response_started != self.cycle.response_complete:
            self.transport.close()  # in the middle of an answer to something else
            return
        status = getattr(sys.exc_info()[1], "error_status_hint", 400)
        if status == 431:
            self.refuse(431, f"a request's headers may have {MAX_HEADERS} bytes")
        else:
            self.refuse(status, "this is no valid HTTP request")

    def refuse(self, status: int, sentence: str) -> None:
        """Answer without the application; hang up once the client has, or after a while."""
        self.refused = True
        body = json.dumps({"error": sentence}).encode()
        headers = SECURITY | {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "close",
        }
        if status == 503:
            headers["retry-after"] = "1"
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.abort)
        self.metrics.requests.labels("other", status).inc()
        log.info("%s - other %d 0 bytes 0 ms", self.client[0] if self.client else "-", status)
